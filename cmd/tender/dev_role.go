package main

import (
	"context"
	"crypto/rand"
	"fmt"
	"net/url"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
)

// servingRole is the role of deployments/postgres/roles.sql that does the daily work.
const servingRole = "tender_serve"

// createServingRole makes the role, or leaves the one that is there, and gives it a new password. It has no rights yet.
func createServingRole(ctx context.Context, pool *pgxpool.Pool) (password string, err error) {
	role, password := pgx.Identifier{servingRole}.Sanitize(), rand.Text() // letters and digits: nothing to quote
	err = pgx.BeginFunc(ctx, pool, func(tx pgx.Tx) error {
		var exists bool
		if err := tx.QueryRow(ctx, "SELECT EXISTS (SELECT FROM pg_roles WHERE rolname = $1)", servingRole).Scan(&exists); err != nil {
			return err
		}
		if !exists {
			if _, err := tx.Exec(ctx, "CREATE ROLE "+role+" LOGIN"); err != nil {
				return err
			}
		}
		_, err := tx.Exec(ctx, "ALTER ROLE "+role+" PASSWORD '"+password+"'")
		return err
	})
	if err != nil {
		return "", fmt.Errorf("create role %s: %w", servingRole, err)
	}
	return password, nil
}

// withCredentials replaces the name and the password in a URL.
func withCredentials(address, user, password string) (string, error) {
	parsed, err := url.Parse(address)
	if err != nil {
		return "", fmt.Errorf("read the address of the private PostgreSQL: %w", err)
	}
	parsed.User = url.UserPassword(user, password)
	return parsed.String(), nil
}
