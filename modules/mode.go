package modules

import (
	"fmt"
	"strconv"
	"strings"
)

// Mode is the permission bits that a task asks for: a number, or a symbolic mode
// that depends on the file's present bits.
type Mode struct {
	bits     uint32
	symbolic string
	Preserve bool // "preserve": as the source has them
}

// ParseMode reads a mode as Ansible does: an octal string ("0644", "644"), a
// number (YAML's 0644 has already become 420), a symbolic mode
// ("u=rw,g=r,o=", "a+x,g-w", "u+rwX"), or "preserve".
func ParseMode(value any) (Mode, error) {
	if n, err := asInt(value); err == nil {
		if _, text := value.(string); !text {
			if looksOctal(n) {
				return Mode{}, fmt.Errorf("mode %d without quotes is the number %d, %04o in octal; write '0%d'", n, n, n, n)
			}
			return modeNumber(n)
		}
	}
	text, err := asString(value)
	if err != nil {
		return Mode{}, err
	}
	if text == "preserve" {
		return Mode{Preserve: true}, nil
	}
	if n, err := strconv.ParseUint(strings.TrimPrefix(text, "0o"), 8, 32); err == nil {
		return modeNumber(int64(n))
	}
	if _, err := applySymbolic(text, 0, false); err != nil {
		return Mode{}, err
	}
	return Mode{symbolic: text}, nil
}

func modeNumber(n int64) (Mode, error) {
	if n < 0 || n > 0o7777 {
		return Mode{}, fmt.Errorf("mode %o is out of range; write it in quotes, as in '0644'", n)
	}
	return Mode{bits: uint32(n)}, nil
}

// looksOctal tells a number that was written without quotes and without a leading
// zero, such as 644: nobody means the bits 01204.
func looksOctal(n int64) bool {
	_, err := strconv.ParseUint(strconv.FormatInt(n, 10), 8, 32)
	return n > 0o777 && n <= 777 && err == nil
}

// On gives the wanted bits for a file that has the bits now. A caller deals with
// Preserve itself.
func (m *Mode) On(now uint32, directory bool) uint32 {
	if m.symbolic == "" {
		return m.bits
	}
	bits, err := applySymbolic(m.symbolic, now, directory)
	if err != nil {
		panic("modules: a mode that ParseMode accepted: " + err.Error())
	}
	return bits
}

// customaryUmask is kept from a clause that names no class ("+w"), as chmod(1) keeps
// the shell's; the agent's own would differ from host to host.
const customaryUmask = 0o022

// applySymbolic computes a chmod(1) symbolic mode.
func applySymbolic(text string, bits uint32, directory bool) (uint32, error) {
	for clause := range strings.SplitSeq(text, ",") {
		end := strings.IndexAny(clause, "+-=")
		if end < 0 {
			return 0, fmt.Errorf("mode %q: wants an octal number in quotes or clauses such as u=rw,g+r", text)
		}
		who, rest := clause[:end], clause[end:]
		if strings.Trim(who, "ugoa") != "" {
			return 0, fmt.Errorf("mode %q: %q is none of u, g, o, a", text, who)
		}
		spared := uint32(0)
		if who == "" {
			spared = customaryUmask
		}
		if who == "" || strings.Contains(who, "a") {
			who = "ugo"
		}
		for rest != "" {
			operator := rest[0]
			stop := strings.IndexAny(rest[1:], "+-=")
			perms := rest[1:]
			if stop >= 0 {
				perms = rest[1 : 1+stop]
			}
			rest = rest[1+len(perms):]
			var err error
			if bits, err = applyClause(who, operator, perms, bits, spared, directory); err != nil {
				return 0, fmt.Errorf("mode %q: %w", text, err)
			}
		}
	}
	return bits, nil
}

func applyClause(who string, operator byte, perms string, bits, spared uint32, directory bool) (uint32, error) {
	for _, class := range who {
		set, err := permissionBits(class, perms, bits, directory)
		if err != nil {
			return 0, err
		}
		set &^= spared
		switch operator {
		case '+':
			bits |= set
		case '-':
			bits &^= set
		case '=':
			bits = bits&^classMask(class) | set
		}
	}
	return bits, nil
}

func classMask(class rune) uint32 {
	switch class {
	case 'u':
		return 0o4700
	case 'g':
		return 0o2070
	default:
		return 0o1007
	}
}

func permissionBits(class rune, perms string, bits uint32, directory bool) (uint32, error) {
	shift := map[rune]uint32{'u': 6, 'g': 3, 'o': 0}[class]
	var set uint32
	for _, p := range perms {
		switch p {
		case 'r':
			set |= 4 << shift
		case 'w':
			set |= 2 << shift
		case 'x':
			set |= 1 << shift
		case 'X':
			if directory || bits&0o111 != 0 {
				set |= 1 << shift
			}
		case 's':
			set |= map[rune]uint32{'u': 0o4000, 'g': 0o2000}[class]
		case 't':
			set |= map[rune]uint32{'o': 0o1000}[class]
		case 'u', 'g', 'o':
			from := map[rune]uint32{'u': 6, 'g': 3, 'o': 0}[p]
			set |= (bits >> from & 7) << shift
		default:
			return 0, fmt.Errorf("%q is no permission", string(p))
		}
	}
	return set, nil
}
