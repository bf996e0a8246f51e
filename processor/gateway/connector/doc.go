// Package connector puts any gateway.Gateway behind NATS as a service, so that it is deployed,
// scaled and restarted by itself, and keeps the provider's credentials to itself. Package natsgw
// is its client, package protocol defines the messages between them.
//
// It owns the service: six endpoints, payments.gateway.<name>.authorize, confirm, capture, void,
// refund and lookup, in one queue group, so that of all instances one gets each request. `nats
// micro ls`, `info` and `stats` show them. It does not retry, route or keep anything: it calls the
// gateway inside once for each request, and passes its proof on to the caller unchanged.
//
// It guarantees that a request it answers with not_done was never handed to the gateway, or that
// the gateway itself has proven it; that a request which came after its deadline is not handed to
// the gateway; that a panic in the gateway costs one answer, which is unknown; and that
// [Connector.Stop] lets the calls under way finish, and answers them.
package connector
