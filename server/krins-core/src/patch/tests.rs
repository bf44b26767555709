//! Data tests: each form, defect and refusal with its answer.
