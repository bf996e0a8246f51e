package deployments_test

import (
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"

	"github.com/seed-384b1f8a/tender/config"
)

// compose is what of compose.yaml can go wrong without a container in sight.
type compose struct {
	Services map[string]struct {
		Image       string            `yaml:"image"`
		Command     []string          `yaml:"command"`
		Environment map[string]string `yaml:"environment"`
		Volumes     []string          `yaml:"volumes"`
		DependsOn   map[string]any    `yaml:"depends_on"`
	} `yaml:"services"`
}

func readCompose(t *testing.T) compose {
	t.Helper()
	file, err := os.ReadFile("compose.yaml")
	if err != nil {
		t.Fatal(err)
	}
	withDefaults := regexp.MustCompile(`\$\{\w+:-([^}]*)\}`).ReplaceAll(file, []byte("$1"))
	var c compose
	if err := yaml.Unmarshal(withDefaults, &c); err != nil {
		t.Fatalf("read compose.yaml: %v", err)
	}
	return c
}

// TestComposeConfiguresTender reads each process's environment as the process would.
func TestComposeConfiguresTender(t *testing.T) {
	t.Parallel()
	processes := 0
	for name, service := range readCompose(t).Services {
		if service.Image != "tender" && service.Image != "tenderlab" {
			continue
		}
		processes++
		var environment []string
		for key, value := range service.Environment {
			environment = append(environment, key+"="+value)
		}
		c, err := config.Load("", environment)
		if err == nil {
			err = c.Validate()
		}
		if err != nil {
			t.Errorf("service %s: %v", name, err)
		}
	}
	if processes != 6 {
		t.Errorf("%d services run tender, want 6", processes)
	}
}

func TestComposeNamesWhatIsThere(t *testing.T) {
	t.Parallel()
	c := readCompose(t)
	for name, service := range c.Services {
		for _, volume := range service.Volumes {
			source, _, _ := strings.Cut(volume, ":")
			if !strings.HasPrefix(source, "./") {
				continue
			}
			if _, err := os.Stat(filepath.FromSlash(source)); err != nil {
				t.Errorf("service %s mounts %s: %v", name, source, err)
			}
		}
		for other := range service.DependsOn {
			if _, ok := c.Services[other]; !ok {
				t.Errorf("service %s waits for %s, which there is not", name, other)
			}
		}
	}
}

// TestComposePasswordsFit compares what the servers are told with what the processes use.
func TestComposePasswordsFit(t *testing.T) {
	c := readCompose(t)
	for variable, password := range c.Services["nats"].Environment {
		t.Setenv(variable, password)
	}
	bus := startBusAsIs(t)
	for name, service := range c.Services {
		if user, ok := service.Environment["TENDER_NATS_USER"]; ok {
			if err := login(bus, user, service.Environment["TENDER_NATS_PASSWORD"]); err != nil {
				t.Errorf("service %s logs in to NATS as %s: %v", name, user, err)
			}
		}
		address, err := url.Parse(service.Environment["TENDER_POSTGRES_URL"])
		if err != nil {
			t.Errorf("service %s: %v", name, err)
			continue
		}
		role, isRole := strings.CutPrefix(address.User.Username(), "tender_")
		password, _ := address.User.Password()
		if want := c.Services["postgres"].Environment["POSTGRES_"+strings.ToUpper(role)+"_PASSWORD"]; isRole && password != want {
			t.Errorf("service %s logs in to PostgreSQL as %s with %q, want %q", name, address.User.Username(), password, want)
		}
	}
}
