"""The algorithms of mathematics.md, section 3, as functions over the queries of an oracle; one learner a file."""
