package lookup

import (
	"errors"
	"fmt"

	"github.com/rbdplay/rbdplay/engine/expression"
	"github.com/rbdplay/rbdplay/engine/vault"
)

// vaultFilters encrypt and decrypt text by a password that the expression gives.
var vaultFilters = map[string]expression.Definition{
	"vault":   {Signature: "secret, salt=none, vault_id='filter_default', wrap_object=false", Function: encrypted},
	"unvault": {Signature: "secret, vault_id='filter_default'", Function: decrypted},
}

func encrypted(c *expression.Call) (any, error) {
	if expression.Truthy(c.Args[3]) {
		return nil, errors.New("wrap_object is not supported: a value that is encrypted is text")
	}
	password, err := vaultPassword(c.Args[0], c.Args[2])
	if err != nil {
		return nil, err
	}
	data := []byte(expression.Text(c.Input))
	var text []byte
	if c.Args[1] == nil {
		text, err = vault.Encrypt(data, password)
	} else {
		text, err = vault.EncryptSalted(data, password, []byte(expression.Text(c.Args[1])))
	}
	return string(text), err
}

// decrypted gives text that is not encrypted back as it is, as Ansible does.
func decrypted(c *expression.Call) (any, error) {
	text, ok := expression.Normalize(c.Input).(string)
	if !ok {
		return nil, fmt.Errorf("wants text, not %s", shown(c.Input))
	}
	if !vault.IsEncrypted([]byte(text)) {
		return text, nil
	}
	password, err := vaultPassword(c.Args[0], c.Args[1])
	if err != nil {
		return nil, err
	}
	plain, err := vault.NewKeyring(password).Decrypt([]byte(text))
	return string(plain), err
}

func vaultPassword(secret, id any) (vault.Password, error) {
	text, ok := expression.Normalize(secret).(string)
	if !ok {
		return vault.Password{}, fmt.Errorf("wants a secret that is text, not %s", shown(secret))
	}
	return vault.NewPassword(expression.Text(id), text)
}
