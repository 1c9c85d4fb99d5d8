package modules

import "testing"

// A project whose files name what they do not hold is hashed anew each time.
func TestComposeReachesOut(t *testing.T) {
	for _, reaching := range []string{
		"image: ${IMAGE}", "env_file: .env.web", "    extends:\n      file: other.yaml", "include: [a.yaml]", "build: .",
		`network_mode: "container:db"`, "pid: service:web", "volumes: [~/data:/data]", "secrets: {a: {file: ./a}}",
	} {
		if !composeReachesOut().MatchString(reaching) {
			t.Errorf("%q names what its file does not hold", reaching)
		}
	}
	for _, whole := range []string{"services:\n  web:\n    container_name: web", "max-file: '3'", "network_mode: host"} {
		if composeReachesOut().MatchString(whole) {
			t.Errorf("%q names nothing else", whole)
		}
	}
}
