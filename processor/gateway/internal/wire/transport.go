package wire

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"time"
)

// Config says how a gateway is reached. The zero value is usable.
type Config struct {
	// ConnectionsMax bounds the connections, and so the calls under way; 0 is 256. Give it the
	// Guard's ConcurrencyMax.
	ConnectionsMax int
	// DialTimeout bounds the making of a connection; 0 is 2 s.
	DialTimeout time.Duration
	// IdleTimeout is the time for which an unused connection is kept; 0 is 30 s. It must be
	// shorter than the server's, or calls meet dead connections.
	IdleTimeout time.Duration
	// TLS is used for https; nil means the system's roots and TLS 1.2 or later.
	TLS *tls.Config
	// Proxy chooses a proxy; nil means none, also if the environment names one.
	Proxy func(*http.Request) (*url.URL, error)
	// Dial makes the connections; nil is a net.Dialer.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)
}

// ParseAddress reads the base address of a gateway: http or https, with a host and without a user,
// query or fragment. Its error does not repeat the address, which may hold a secret.
func ParseAddress(address string) (*url.URL, error) {
	base, err := url.Parse(address)
	if err != nil {
		var parse *url.Error
		if errors.As(err, &parse) {
			err = parse.Err
		}
		return nil, fmt.Errorf("read gateway address: %w", err)
	}
	switch {
	case base.Scheme != "http" && base.Scheme != "https", base.Host == "":
		return nil, errors.New("read gateway address: it must begin with http:// or https:// and name a host")
	case base.User != nil, base.RawQuery != "", base.Fragment != "":
		return nil, errors.New("read gateway address: it must hold no user, query or fragment")
	}
	return base, nil
}

// NewTransport returns a transport with nothing of the environment in it. It fails when a bound is
// negative. Close its idle connections when it is no longer used.
func NewTransport(c Config) (*http.Transport, error) {
	if c.ConnectionsMax < 0 || c.DialTimeout < 0 || c.IdleTimeout < 0 {
		return nil, errors.New("configure gateway connections: a bound is negative")
	}
	connections := positiveOr(c.ConnectionsMax, 256)
	dialTimeout := positiveOr(c.DialTimeout, 2*time.Second)
	dial := c.Dial
	if dial == nil {
		dial = (&net.Dialer{Timeout: dialTimeout, KeepAlive: 15 * time.Second}).DialContext
	}
	tlsConfig := c.TLS.Clone()
	if tlsConfig == nil {
		tlsConfig = &tls.Config{MinVersion: tls.VersionTLS12}
	}
	// HTTP/1.1 only: one request at a time on a connection, so that a fault costs one operation and
	// net/http has no stream of another connection to move a request to.
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true)
	return &http.Transport{
		Proxy:                  c.Proxy,
		DialContext:            dial,
		TLSClientConfig:        tlsConfig,
		TLSHandshakeTimeout:    dialTimeout,
		MaxIdleConns:           connections,
		MaxIdleConnsPerHost:    connections,
		MaxConnsPerHost:        connections,
		IdleConnTimeout:        positiveOr(c.IdleTimeout, 30*time.Second),
		MaxResponseHeaderBytes: 16 << 10,
		DisableCompression:     true,
		Protocols:              protocols,
	}, nil
}

func positiveOr[T int | time.Duration](value, otherwise T) T {
	if value > 0 {
		return value
	}
	return otherwise
}
