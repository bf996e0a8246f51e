package store

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"
)

// ServingRights are the rights, by table or sequence, that the serving role needs and the only ones
// it gets. No serving process can rewrite history: of payment_events and checkpoints there is no
// update or delete, and nothing is ever truncated. There are none on the partitions themselves:
// those on the table they belong to do.
func ServingRights() map[string]string {
	return map[string]string{
		"payments":                "SELECT, INSERT, UPDATE",
		"payment_events":          "SELECT, INSERT",
		"payment_events_position": "SELECT, USAGE",
		"checkpoints":             "SELECT, INSERT",
		"commands":                "SELECT, INSERT",
		"timers":                  "SELECT, INSERT, UPDATE, DELETE",
		"redeliveries":            "SELECT, INSERT, UPDATE, DELETE",
		"outbox":                  "SELECT, INSERT, UPDATE, DELETE",
		"outbox_partition":        "SELECT, UPDATE",
		migrationsTable:           "SELECT",
	}
}

// GrantServing gives role exactly the rights that serving needs on the tables, and takes all others
// from it. The role has to exist. It may be called again, for example after each migration, and by
// the owner of the schema only.
func GrantServing(ctx context.Context, db DB, role string) error {
	err := pgx.BeginFunc(ctx, db, func(tx pgx.Tx) error {
		var schema string
		if err := tx.QueryRow(ctx, currentSchemaSQL).Scan(&schema); err != nil {
			return err
		}
		grantee := pgx.Identifier{role}.Sanitize()
		if _, err := tx.Exec(ctx, "GRANT USAGE ON SCHEMA "+pgx.Identifier{schema}.Sanitize()+" TO "+grantee); err != nil {
			return err
		}
		for table, rights := range ServingRights() {
			name := pgx.Identifier{schema, table}.Sanitize()
			if _, err := tx.Exec(ctx, "REVOKE ALL ON "+name+" FROM "+grantee); err != nil {
				return err
			}
			if _, err := tx.Exec(ctx, "GRANT "+rights+" ON "+name+" TO "+grantee); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("grant rights to role %s: %w", role, err)
	}
	return nil
}
