//! PostgreSQL's parent: holds the write deadline and leaves no process of the instance behind.
