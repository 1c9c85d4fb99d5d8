package expression

import (
	"crypto/sha512"
	"errors"
	"math"
	"math/big"
	"math/rand/v2"
)

// Random chooses numbers.
type Random interface {
	// Below is a number from 0 to n-1; n is at least 1.
	Below(n int) int
}

// NewRandom is the source of Python's random.Random(seed): the same seed gives
// the same choices as in Ansible. Without a seed (nil) they are never the same.
// The error says that a seed is neither text nor a whole number.
func NewRandom(seed any) (Random, error) {
	var key *big.Int
	switch seed := Normalize(seed).(type) {
	case nil:
		return unseeded{}, nil
	case string:
		sum := sha512.Sum512([]byte(seed))
		key = new(big.Int).SetBytes(append([]byte(seed), sum[:]...))
	case int:
		key = new(big.Int).Abs(big.NewInt(int64(seed)))
	case bool:
		key = new(big.Int)
		if seed {
			key.SetInt64(1)
		}
	default:
		return nil, errors.New("a seed is text or a whole number, found " + nameWithArticle(seed))
	}
	var words []uint32
	mask := big.NewInt(math.MaxUint32)
	for key.Sign() > 0 || words == nil {
		words = append(words, uint32(new(big.Int).And(key, mask).Uint64()))
		key.Rsh(key, 32)
	}
	t := &twister{}
	t.seed(words)
	return t, nil
}

type unseeded struct{}

func (unseeded) Below(n int) int { return rand.IntN(n) } //nolint:gosec // a choice, not a secret

const (
	twisterSize = 624
	twisterHalf = 397
)

// twister is the generator that Python uses, MT19937.
type twister struct {
	state [twisterSize]uint32
	next  int
}

func (t *twister) start(seed uint32) {
	t.state[0] = seed
	for i := 1; i < twisterSize; i++ {
		t.state[i] = 1812433253*(t.state[i-1]^t.state[i-1]>>30) + uint32(i)
	}
	t.next = twisterSize
}

// seed is init_by_array of the generator's authors.
func (t *twister) seed(words []uint32) {
	t.start(19650218)
	s := &t.state
	i, j := 1, 0
	advance := func() {
		if i++; i >= twisterSize {
			s[0], i = s[twisterSize-1], 1
		}
	}
	for range max(twisterSize, len(words)) {
		s[i] = (s[i] ^ (s[i-1]^s[i-1]>>30)*1664525) + words[j] + uint32(j)
		advance()
		j = (j + 1) % len(words)
	}
	for range twisterSize - 1 {
		s[i] = (s[i] ^ (s[i-1]^s[i-1]>>30)*1566083941) - uint32(i)
		advance()
	}
	s[0] = 1 << 31
}

func (t *twister) twist() {
	s := &t.state
	for i := range s {
		y := s[i]&(1<<31) | s[(i+1)%twisterSize]&(1<<31-1)
		s[i] = s[(i+twisterHalf)%twisterSize] ^ y>>1 ^ y&1*0x9908b0df
	}
	t.next = 0
}

func (t *twister) word() uint32 {
	if t.next >= twisterSize {
		t.twist()
	}
	y := t.state[t.next]
	t.next++
	y ^= y >> 11
	y ^= y << 7 & 0x9d2c5680
	y ^= y << 15 & 0xefc60000
	return y ^ y>>18
}

// bits is getrandbits: the first word is the lowest.
func (t *twister) bits(count int) uint64 {
	if count <= 32 {
		return uint64(t.word() >> (32 - count))
	}
	low := uint64(t.word())
	return uint64(t.word()>>(64-count))<<32 | low
}

// Below implements Random.
func (t *twister) Below(n int) int {
	count := big.NewInt(int64(n)).BitLen()
	for {
		if r := t.bits(count); r < uint64(n) {
			return int(r)
		}
	}
}
