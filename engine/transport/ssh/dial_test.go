package ssh

import (
	"slices"
	"testing"

	"golang.org/x/crypto/ssh"
)

func TestKeyExchanges(t *testing.T) {
	var defaults ssh.Config
	defaults.SetDefaults()
	got := keyExchanges()
	hybrid, p256, curve := slices.Index(got, ssh.KeyExchangeMLKEM768X25519), slices.Index(got, ssh.KeyExchangeECDHP256), slices.Index(got, ssh.KeyExchangeCurve25519)
	if hybrid != 0 || p256 < hybrid || curve < p256 {
		t.Errorf("the order is %q", got)
	}
	for _, list := range [][]string{got, defaults.KeyExchanges} {
		slices.Sort(list)
	}
	if !slices.Equal(got, defaults.KeyExchanges) {
		t.Errorf("%q are not the %q that the package accepts", got, defaults.KeyExchanges)
	}
}
