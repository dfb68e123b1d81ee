// Package seclang is the rule language of ModSecurity: text in, an immutable
// Engine out, one Transaction per request.
//
// Lex cuts configuration text into directives, Compile turns the Sec*
// directives of one virtual host into an Engine, and a Transaction walks a
// request through the five phases and says whether to let it pass. What a
// client sends is never an error: it becomes variables, faults in variables
// such as REQBODY_ERROR, and in the end an audit.Record. Semantics are those of
// mod_security2 2.9, with the additions of libmodsecurity 3.
//
// Nothing here owns a socket or a file of its own. Persistent collections live
// in package collection and are durable when the Ticket that Commit or Touch
// returned says so; a crash before that loses what was not yet ticketed and
// nothing else.
package seclang
