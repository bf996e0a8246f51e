-- The two roles of Tender, for psql, as a superuser, connected to Tender's database:
--
--   POSTGRES_MIGRATE_PASSWORD=... POSTGRES_SERVE_PASSWORD=... psql -f roles.sql "postgres://postgres@host/tender"
--
-- tender_migrate owns the database and its schema: `tender migrate` connects as it. tender_serve does the daily work:
-- `tender serve` connects as it, and it can neither create nor change a table. What it may do with each table is granted
-- by `tender migrate --grant-to tender_serve`, next to the tables themselves.
--
-- Passwords come from the environment, or from the psql variables migrate_password and serve_password. May be run again: it
-- sets the passwords and rights anew and touches nothing else.

\set ON_ERROR_STOP on
\set QUIET on

\if :{?migrate_password}
\else
\set migrate_password `printenv POSTGRES_MIGRATE_PASSWORD`
\endif
\if :{?serve_password}
\else
\set serve_password `printenv POSTGRES_SERVE_PASSWORD`
\endif

-- An empty password would be none at all. Dividing by zero is how plain SQL stops.
SELECT 1 / (length(:'migrate_password') > 0 AND length(:'serve_password') > 0)::int AS passwords_given \gset

BEGIN;

-- Statements that carry a password stay out of the server's log.
SET LOCAL log_statement = 'none';
SET LOCAL log_min_duration_statement = -1;
SET LOCAL log_min_error_statement = 'panic';

SELECT format('CREATE ROLE %I', name)
FROM unnest(ARRAY['tender_migrate', 'tender_serve']) AS name
WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = name)
\gexec

ALTER ROLE tender_migrate WITH LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION NOBYPASSRLS PASSWORD :'migrate_password';
ALTER ROLE tender_serve WITH LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION NOBYPASSRLS PASSWORD :'serve_password';

-- A migration that cannot get its lock gives up rather than let every payment queue behind it.
ALTER ROLE tender_migrate SET lock_timeout = '10s';

ALTER DATABASE :"DBNAME" OWNER TO tender_migrate;
REVOKE ALL ON DATABASE :"DBNAME" FROM PUBLIC;
GRANT CONNECT ON DATABASE :"DBNAME" TO tender_serve;

ALTER SCHEMA public OWNER TO tender_migrate;
REVOKE ALL ON SCHEMA public FROM PUBLIC;
GRANT USAGE ON SCHEMA public TO tender_serve;

COMMIT;
