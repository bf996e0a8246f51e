// Package gatewaytest runs the rules of package conformance as tests of a gateway written in Go:
// its author calls [Conformance]. It owns no rules, and no expectations about a particular
// provider; the payment methods to use are passed in.
package gatewaytest
