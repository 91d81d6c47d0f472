//! A supervisor puts a new reader in front of a mailbox whose reader died.
