package expression

var addressFilters = map[string]Definition{}
