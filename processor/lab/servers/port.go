package servers

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"strconv"
)

// The range of ports for servers that restart: below the range for outgoing connections, so no
// client takes the port of a server that is down.
const (
	portLow  = 20000
	portHigh = 32768
)

// freePort picks a free loopback port.
func freePort(ctx context.Context) (int, error) {
	ports, err := freePorts(ctx, 1)
	if err != nil {
		return 0, err
	}
	return ports[0], nil
}

// freePorts picks different free loopback ports.
func freePorts(ctx context.Context, count int) (ports []int, err error) {
	const tries = 1000
	var taken []net.Listener // held until all are found, which keeps them apart
	defer func() {
		for _, listener := range taken {
			err = errors.Join(err, listener.Close())
		}
	}()
	for range tries {
		if len(ports) == count {
			return ports, nil
		}
		port := portLow + rand.IntN(portHigh-portLow) //nolint:gosec // G404: no secret
		listener, err := listenLoopback(ctx, port)
		if err != nil {
			continue
		}
		taken, ports = append(taken, listener), append(ports, port)
	}
	return nil, fmt.Errorf("find %d free ports: %d tries between %d and %d", count, tries, portLow, portHigh)
}

func portFree(ctx context.Context, port int) bool {
	listener, err := listenLoopback(ctx, port)
	if err != nil {
		return false
	}
	return listener.Close() == nil
}

func listenLoopback(ctx context.Context, port int) (net.Listener, error) {
	return new(net.ListenConfig).Listen(ctx, "tcp", loopbackAddress(port))
}

func loopbackAddress(port int) string { return net.JoinHostPort(loopback, strconv.Itoa(port)) }
