//! W3C trace context, level 2, strictly: the values, their grammar and nothing else.
