// Command tenderlab is the laboratory of Tender: everything that brings its own servers. Demo and
// dev run all of Tender in one process beside a private NATS, a private PostgreSQL and the
// simulator; chaos runs the released program tender as processes and breaks what is between them;
// bench measures; simulator is the payment gateway that moves no money.
//
// It must not be needed in production. It prints through package term and assembles processes
// through package app, as tender does.
package main
