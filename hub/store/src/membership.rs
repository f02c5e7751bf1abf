//! Persons' words about clusters (gate.md L4): labels, names, identities, leaving. In: who, what and why. Out: rows of one
//! transaction with its history, in one order with every decision. It must not touch a release: the engine does, by policy.
