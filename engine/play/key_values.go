package play

import "fmt"

// KeyValues reads "a=1 b='two words' c={{ d }}", as -e on the command line takes
// it. Values are text, templates and all; the last of equal names counts. The
// error names the piece that is not name=value.
func KeyValues(text string) (map[string]string, error) {
	pieces, err := splitPieces(text)
	if err != nil {
		return nil, err
	}
	values := make(map[string]string, len(pieces))
	for _, p := range pieces {
		name, value, ok := p.keyValue()
		if !ok {
			return nil, fmt.Errorf("%q is not name=value", p.text)
		}
		values[name] = value.unquote().text
	}
	return values, nil
}
