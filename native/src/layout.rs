//! The arena's constants, derived from `assembly/layout.ts` by the build script.

#![allow(dead_code)]

include!(concat!(env!("OUT_DIR"), "/layout.rs"));
