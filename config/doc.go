// Package config owns the settings of an operator: the keys, their defaults, their meaning and
// their sane values.
//
// A configuration has three layers. Defaults that work for a small deployment are covered by a YAML
// file, and the file by environment variables. The variable of a key is its path in capitals, with
// the dots turned into underscores, behind TENDER_: worker.slots_max is TENDER_WORKER_SLOTS_MAX. It
// is looked up among the known keys, so that underscores are never ambiguous.
//
// The package guarantees:
//
//   - Every mistake is reported at once, each as a [KeyError] with the key's name and the place it
//     came from. A key or a TENDER_ variable that does not exist is a mistake, not something to
//     pass over: a misspelled limit is no limit.
//   - A secret is never written: not by fmt, JSON, YAML or a logger, not by [Print] and not in the
//     text of an error. [Secret.Reveal] and [URL.Reveal] are the only ways to one.
//   - One table (settings.go) binds a key to its field, its kind and its documentation. Loading,
//     printing, the reference and the example file are all made from it, so that they agree.
//
// It must not connect to anything, read the process environment on its own, or look at the file
// system beyond the one file it is given: whether a certificate exists or a server answers is for
// those to say who use it. It imports nothing else of Tender, and only the command line imports it:
// everything below gets plain values.
package config
