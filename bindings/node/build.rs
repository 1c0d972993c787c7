//! Tells the linker that Node brings what is missing.

fn main() {
    napi_build::setup();
}
