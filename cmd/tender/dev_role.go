package main

import (
	"fmt"
	"net/url"
)

// servingRole is the role of deployments/postgres/roles.sql that does the daily work.
const servingRole = "tender_serve"

// withCredentials replaces the name and the password in a URL.
func withCredentials(address, user, password string) (string, error) {
	parsed, err := url.Parse(address)
	if err != nil {
		return "", fmt.Errorf("read the address of the private PostgreSQL: %w", err)
	}
	parsed.User = url.UserPassword(user, password)
	return parsed.String(), nil
}
