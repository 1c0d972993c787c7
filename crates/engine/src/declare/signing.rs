//! Which schemes a destination may sign with side by side, and that its first secrets are keys of theirs.
//! What a scheme writes is the library's to say; how attempts are signed is `signing`'s, one level up.

use std::sync::Arc;

use hookward::Scheme;

use super::DeclaredSecret;
use crate::ids::OrganizationId;
use crate::model::{Signing, is_setting};
use crate::schemes::Schemes;

/// The most schemes that a destination signs with.
pub const SIGNING_MAX: usize = 4;

/// Why these schemes, in this order, cannot sign side by side, and which of them is the one too many.
pub fn check_schemes(signing: &[Signing], schemes: &[&Scheme]) -> Result<(), (usize, String)> {
    if signing.len() > SIGNING_MAX {
        return Err((SIGNING_MAX, format!("a destination signs with at most {SIGNING_MAX} schemes")));
    }
    for (index, scheme) in schemes.iter().enumerate() {
        let name = scheme.name();
        if is_setting(name) {
            return Err((index, format!("a scheme called `{name}` cannot sign deliveries: call it something else")));
        }
        if schemes[..index].iter().any(|before| before.name() == name) {
            return Err((index, format!("scheme `{name}` signs once: give one entry for it")));
        }
        let clash = schemes[..index].iter().find_map(|before| Some((before.name(), before.clashes_with(scheme)?)));
        if let Some((before, header)) = clash {
            let problem = format!("schemes `{before}` and `{name}` both write header `{header}`: keep one of them");
            return Err((index, problem));
        }
    }
    let last = signing.len().saturating_sub(1);
    if !signing.is_empty() && signing.iter().all(|entry| entry.until.is_some()) {
        let problem = "nothing would be signed once the last `until` is past: leave it out of the scheme that stays";
        return Err((last, problem.to_owned()));
    }
    Ok(())
}

/// The same by name; and secrets that are for something else, or no keys.
pub(super) fn check_signing(
    signing: &[Signing],
    (schemes, organization): (&Schemes, OrganizationId),
    secrets: &[DeclaredSecret],
) -> Result<(), String> {
    let find = |entry: &Signing| schemes.for_endpoint(organization, &entry.scheme, &entry.parameters);
    let found: Vec<Arc<Scheme>> = signing.iter().map(find).collect::<Result<_, _>>()?;
    let found: Vec<&Scheme> = found.iter().map(AsRef::as_ref).collect();
    check_schemes(signing, &found).map_err(|(_, problem)| problem)?;
    for DeclaredSecret { purpose, value } in secrets.iter().filter(|secret| !is_setting(&secret.purpose)) {
        let scheme = found.iter().find(|scheme| scheme.name() == purpose);
        let scheme = scheme.ok_or_else(|| format!("it has a secret for `{purpose}`, and does not sign with that"))?;
        scheme.check_new(value).map_err(|error| error.to_string())?;
    }
    Ok(())
}
