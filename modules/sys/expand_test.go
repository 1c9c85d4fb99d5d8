package sys

import "testing"

func TestExpandWords(t *testing.T) {
	env := []string{"A=old", "A=new", "HOME=/home/me", "EMPTY="}
	for word, want := range map[string]string{
		"$A":                  "new",
		"x${A}y$A":            "xnewynew",
		"$NONE ${NONE} $ a$":  "$NONE ${NONE} $ a$",
		"[$EMPTY]":            "[]",
		"~":                   "/home/me",
		"~/a":                 "/home/me/a",
		"a~/b":                "a~/b",
		"~no-such-user-here/": "~no-such-user-here/",
		"~root/x":             "/root/x",
	} {
		got, err := expandWords([]string{word}, env)
		if err != nil || got[0] != want {
			t.Errorf("%s: got %q, %v", word, got, err)
		}
	}
}
