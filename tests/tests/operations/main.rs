//! What whoever runs Krins relies on, through the real binary: figures and objectives that fit each other, proxies and
//! authorities, tokens and limits, and that no key and nobody's data is anywhere that they do not belong.

mod access;
mod authority;
mod canary;
mod figures;
mod network;
