package main

import (
	"crypto/rand"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/seed-384b1f8a/tender/processor/gateway/status"
)

// reporter says on the bus where this process's gateways stand.
func (p *process) reporter() (*status.Reporter, error) {
	host, err := os.Hostname()
	if err != nil {
		return nil, fmt.Errorf("name this instance: %w", err)
	}
	return status.NewReporter(p.nc, p.gateways.set, p.gateways.feed, status.Config{
		Instance: instanceName(host, os.Getpid()), Version: thisBuild().Version, Now: time.Now,
	})
}

// instanceName tells a person where an instance runs, and tells apart what runs in one process, or as process 1 of
// containers of one name.
func instanceName(host string, pid int) string {
	const hostMax, suffixSize = 64, 4
	if len(host) > hostMax {
		host = host[:hostMax]
	}
	return status.InstanceName(fmt.Sprintf("%s-%d-%s", host, pid, strings.ToLower(rand.Text()[:suffixSize])))
}
