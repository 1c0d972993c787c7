//! Recipes: whoever follows one by hand gets what the scheme itself signs.

use hookward::{
    Draft, Piece, Recipe, RecipeAlgorithm, RecipeEncoding, RecipePlace, RecipeTime, Secret, UnixTime, catalog,
};

use crate::support::plain_names;

#[test]
fn a_recipe_is_what_the_scheme_says() {
    let recipe = catalog::find("qflow").unwrap().recipe();
    assert_eq!(
        recipe,
        Recipe {
            algorithm: RecipeAlgorithm::HmacSha256,
            place: RecipePlace::Header("Qflow-Signature"),
            prefix: "sha256=",
            separator: Some(','),
            encoding: Some(RecipeEncoding::Base64),
            content: vec![Piece::Id, Piece::Text("."), Piece::Time, Piece::Text("."), Piece::Body],
            time: Some(RecipeTime { header: Some("Qflow-TimeStamp"), entry: "", is_in_millis: true, tolerance_s: 300 }),
            id: Some("Qflow-Request-Id"),
            event_type: None,
            key_encoding: Some(RecipeEncoding::Base64),
            key_prefix: "",
        }
    );
    let stripe = catalog::find("stripe").unwrap().recipe();
    let time = stripe.time.unwrap();
    assert_eq!((time.header, time.entry, stripe.id, stripe.event_type), (None, "t", None, None), "JSON is no header");
    let bearer = catalog::find("bearer").unwrap().recipe();
    assert_eq!((bearer.place, bearer.encoding), (RecipePlace::Authorization("Bearer"), None));
    assert_eq!(catalog::find("standard-webhooks").unwrap().recipe().key_prefix, "whsec_");
    assert_eq!(catalog::find("twilio").unwrap().recipe().content, [Piece::Other, Piece::Other]);
}

#[test]
fn a_recipe_names_the_headers_that_signing_writes() {
    for name in plain_names() {
        let scheme = catalog::find(name).unwrap();
        let secret = scheme.generate(&mut |bytes| bytes.fill(7)).unwrap();
        let key = scheme.key(1, &Secret::new(secret.expose()).unwrap()).unwrap();
        let draft =
            Draft { id: "id-1", event_type: "a", method: "POST", url: "https://a.example.com/", body: br#"{"a":1}"# };
        let signed = scheme.sign(&draft, &[key], UnixTime::from_secs(1_700_000_000)).unwrap();
        let recipe = scheme.recipe();
        let written = |name: &str| signed.headers.iter().find(|(known, _)| known.eq_ignore_ascii_case(name));
        let value = match recipe.place {
            RecipePlace::Header(header) => written(header).unwrap().1.clone(),
            RecipePlace::Authorization(word) => {
                written("Authorization").unwrap().1.strip_prefix(&format!("{word} ")).unwrap().to_owned()
            }
            RecipePlace::Body => continue,
            RecipePlace::Query(parameter) => {
                signed.query.iter().find(|(known, _)| known == parameter).unwrap().1.clone()
            }
        };
        let mut entries = value.split(|letter| Some(letter) == recipe.separator);
        assert!(entries.any(|entry| entry.starts_with(recipe.prefix)), "{name}: {value}");
        for header in [recipe.id, recipe.event_type, recipe.time.and_then(|time| time.header)].into_iter().flatten() {
            assert!(written(header).is_some(), "{name}: {header}");
        }
    }
}
