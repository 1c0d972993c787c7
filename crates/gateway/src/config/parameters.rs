//! `parameters` of a source and of `sign`: what a scheme leaves to be said for each endpoint.
//! Which parameters a scheme has, and what they may be, is the library's to say.

use std::collections::BTreeMap;

use hookward::{ParameterError, Scheme};
use toml::Spanned;

use super::{Check, file, is_reference};

/// The values of a scheme's parameters. `at` is where a missing one is complained of.
pub(super) fn parameters(
    check: &mut Check<'_>,
    scheme: &Scheme,
    at: &Spanned<String>,
    file: Option<&file::Parameters>,
) -> BTreeMap<String, String> {
    let mut values = BTreeMap::new();
    for (name, value) in file.iter().flat_map(|file| file.get_ref()) {
        let text = value.get_ref();
        // One at a time, so that everything that is wrong is said.
        match scheme.with_parameters(&BTreeMap::from([(name.clone(), text.clone())])) {
            Ok(_) if is_reference(text) => {
                check.problem(value, format!("the parameter `{name}` is no secret: write the value itself"));
            }
            Ok(_) => {}
            Err(error) => check.problem(value, error.to_string()),
        }
        values.insert(name.clone(), text.clone());
    }
    for missing in scheme.takes().iter().filter(|one| one.is_required && !values.contains_key(one.name)) {
        let (scheme, name, meaning) = (scheme.name().to_owned(), missing.name.to_owned(), missing.meaning.to_owned());
        let error = ParameterError::Missing { scheme, name, meaning };
        check.problem(at, format!("{error}; say it as `parameters = {{ {} = \"…\" }}`", missing.name));
    }
    values
}
