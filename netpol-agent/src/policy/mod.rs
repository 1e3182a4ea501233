//! What the declared policies say of a connection.
