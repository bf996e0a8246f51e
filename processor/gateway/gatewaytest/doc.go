// Package gatewaytest is the behaviour that every gateway must show, as tests: the author of an implementation runs [Conformance]
// against it. It owns no expectations about a particular provider; the payment methods to use are passed in.
package gatewaytest
