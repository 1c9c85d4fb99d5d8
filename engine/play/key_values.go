package play

import "fmt"

// KeyValues reads "a=1 b='two words' c={{ d }}", as -e on the command line takes
// it. Values are text, templates and all; the last of equal names counts. The
// error counts to the piece at fault and does not repeat it: it may be a secret.
func KeyValues(text string) (map[string]string, error) {
	pieces, err := splitPieces(text)
	if err != nil {
		return nil, err
	}
	values := make(map[string]string, len(pieces))
	for i, p := range pieces {
		name, value, ok := p.keyValue()
		if !ok {
			return nil, fmt.Errorf("piece %d is not name=value; put quotes around a value with spaces", i+1)
		}
		values[name] = value.unquote().text
	}
	return values, nil
}
