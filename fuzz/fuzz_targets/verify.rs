//! Any request, under every scheme: no panic, and no verdict but a refusal, since the secrets are never in the input.
#![no_main]

use std::sync::LazyLock;

use hookward::{Key, Scheme, Secret, catalog};
use hookward_fuzz::Input;
use libfuzzer_sys::fuzz_target;

static SCHEMES: LazyLock<Vec<(&'static Scheme, Vec<Key>)>> = LazyLock::new(|| {
    let keys = |scheme: &'static Scheme| {
        // Not a secret that a fuzzer finds by chance, and the same one in every run.
        let secret = scheme.generate(&mut |bytes| bytes.iter_mut().zip(0_u8..).for_each(|(byte, n)| *byte = n ^ 0xa5));
        let generated = secret.ok().map(|secret| scheme.key(1, &secret).expect("it takes what it generates"));
        // GitLab's second kind of key.
        let plain = Secret::new("a plain token that is long").ok().and_then(|secret| scheme.key(2, &secret).ok());
        (scheme, [generated, plain].into_iter().flatten().collect())
    };
    catalog::names().filter_map(catalog::find).map(keys).collect()
});

fuzz_target!(|input: &[u8]| {
    let Some(input) = Input::read(input) else { return };
    let message = input.message();
    for (scheme, keys) in SCHEMES.iter() {
        assert!(scheme.verify(&message, keys, input.now).is_err(), "{} believed it", scheme.name());
        let _ = scheme.handshake(&message, keys, None, None);
    }
});
