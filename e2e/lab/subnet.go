package lab

import (
	"fmt"
	"hash/fnv"
	"regexp"
)

// Lab instances live in 10.77.<octet>.0/24; main has octet 0.
const mainInstance = "main"

var instanceName = regexp.MustCompile(`^[a-z][a-z0-9-]{0,19}$`)

// CheckName refuses names that do not fit in machine names and paths.
func CheckName(name string) error {
	if !instanceName.MatchString(name) {
		return fmt.Errorf("lab name %q: want a small letter, then at most 19 small letters, digits or hyphens", name)
	}
	if name == "images" {
		return fmt.Errorf("lab name %q is taken by the folder of images", name)
	}
	return nil
}

// chooseOctet picks the third octet of an instance: 0 for main, else one that
// depends on the name, and the next free one when that is taken.
func chooseOctet(name string, taken map[int]bool) (int, error) {
	if name == mainInstance {
		return 0, nil
	}
	hash := fnv.New32a()
	hash.Write([]byte(name))
	first := int(hash.Sum32() % 254)
	for i := range 254 {
		if octet := 1 + (first+i)%254; !taken[octet] {
			return octet, nil
		}
	}
	return 0, fmt.Errorf("lab %s: all 254 subnets of 10.77.0.0/16 are taken", name)
}

// Address returns the address of a host in the instance's subnet.
func address(octet, host int) string { return fmt.Sprintf("10.77.%d.%d", octet, host) }

// Interface names have 15 bytes at most.
func bridgeName(octet int) string     { return fmt.Sprintf("rbdlab%d", octet) }
func linkName(octet, host int) string { return fmt.Sprintf("rbdlab%d-%d", octet, host) }
func macAddress(octet, host int) string {
	return fmt.Sprintf("02:77:00:00:%02x:%02x", octet, host)
}
