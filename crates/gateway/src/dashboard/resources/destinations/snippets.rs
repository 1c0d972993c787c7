//! Programs that verify a destination's deliveries, for its receiver: in several languages, filled in from the scheme's own
//! recipe. Each is whole, needs a standard library alone (Rust: the library of this gateway), and compares in constant time.

use std::collections::BTreeMap;

use askama::Template;
use hookward::{Piece, Recipe, RecipeAlgorithm, RecipeEncoding, RecipePlace, Scheme};
use serde::Deserialize;

/// A program.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Snippet {
    pub(super) code: String,
    /// What it runs with.
    pub(super) needs: &'static str,
}

macro_rules! languages {
    ($($name:ident $word:literal $title:literal $needs:literal;)*) => {
        /// In which language.
        #[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
        pub(super) enum Language {
            #[default]
            $(#[serde(rename = $word)] $name,)*
        }

        impl Language {
            /// In the order of the page.
            pub(super) const ALL: [Self; 8] = [$(Self::$name),*];

            /// As addresses say it.
            pub(super) fn word(self) -> &'static str {
                match self {
                    $(Self::$name => $word,)*
                }
            }

            /// As it is called.
            pub(super) fn title(self) -> &'static str {
                match self {
                    $(Self::$name => $title,)*
                }
            }

            fn needs(self) -> &'static str {
                match self {
                    $(Self::$name => $needs,)*
                }
            }
        }
    };
}

languages! {
    Node "node" "Node" "Node 16 or later.";
    Python "python" "Python" "Python 3.8 or later.";
    Go "go" "Go" "Go 1.18 or later.";
    Php "php" "PHP" "PHP 8 or later.";
    Ruby "ruby" "Ruby" "Ruby 2.7 or later, with its openssl 2.2.";
    Java "java" "Java" "Java 17 or later.";
    Csharp "csharp" "C#" ".NET 6 or later.";
    Rust "rust" "Rust" "The library of this gateway: cargo add hookward.";
}

/// Text that stands in a program.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Text(String);

impl Text {
    /// Between double quotes, in the languages that read nothing but escapes in them.
    fn quoted(&self) -> String {
        format!("\"{}\"", self.0.replace('\\', "\\\\").replace('"', "\\\""))
    }

    /// Between single quotes, in which a dollar is a dollar in PHP, and a hash sign one in Ruby.
    fn single_quoted(&self) -> String {
        format!("'{}'", self.0.replace('\\', "\\\\").replace('\'', "\\'"))
    }

    fn len(&self) -> usize {
        self.0.len()
    }

    fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// What the programs are made of: an HMAC in a header, of parts that a receiver has at hand.
#[derive(Debug)]
struct Hmac {
    /// In small letters.
    header: Text,
    prefix: Text,
    separator: Option<char>,
    is_hex: bool,
    /// `sha1`, `sha256`, `sha512`.
    hash: &'static str,
    content: Vec<Part>,
    time: Option<Time>,
    /// The header of the delivery's id, where that is signed.
    id: Option<Text>,
    /// Whether the secret's text is base64.
    is_key_base64: bool,
    key_prefix: Text,
}

#[derive(Debug)]
enum Part {
    Text(Text),
    Body,
    Time,
    Id,
}

#[derive(Debug)]
struct Time {
    /// In small letters; nothing where it is an entry beside the signatures.
    header: Text,
    /// What that entry begins with.
    entry: Option<Text>,
    is_in_millis: bool,
    /// How far from now, in its own unit.
    tolerance: u64,
}

macro_rules! programs {
    ($($name:ident $path:literal;)*) => {
        $(
            #[derive(Debug, Template)]
            #[template(path = $path)]
            struct $name<'h> {
                h: &'h Hmac,
            }
        )*

        /// The program in `language`; none where only the library can do it.
        pub(super) fn snippet(
            scheme: &Scheme,
            parameters: &BTreeMap<String, String>,
            language: Language,
        ) -> Option<Snippet> {
            let code = match language {
                Language::Rust => rust(scheme, parameters).render(),
                $(Language::$name => $name { h: &hmac(&scheme.recipe())? }.render(),)*
            };
            Some(Snippet { code: code.expect("a template writes into memory"), needs: language.needs() })
        }
    };
}

programs! {
    Node "dashboard/snippets/node.txt";
    Python "dashboard/snippets/python.txt";
    Go "dashboard/snippets/go.txt";
    Php "dashboard/snippets/php.txt";
    Ruby "dashboard/snippets/ruby.txt";
    Java "dashboard/snippets/java.txt";
    Csharp "dashboard/snippets/csharp.txt";
}

/// The library knows every scheme.
#[derive(Debug, Template)]
#[template(path = "dashboard/snippets/rust.txt")]
struct Rust {
    name: Text,
    is_catalog: bool,
    /// Of a scheme that is only a secret in a header.
    header: Option<Text>,
    /// What it leaves to be said.
    parameters: Vec<(Text, Text)>,
}

fn rust(scheme: &Scheme, parameters: &BTreeMap<String, String>) -> Rust {
    let name = scheme.name();
    let header = name.strip_prefix("header:").map(|header| Text(header.to_owned()));
    let parameters = parameters.iter().map(|(name, value)| (Text(name.clone()), Text(value.clone()))).collect();
    Rust { name: Text(name.to_owned()), is_catalog: hookward::catalog::has(name), header, parameters }
}

/// The HMAC of a recipe, if it is one.
fn hmac(recipe: &Recipe<'_>) -> Option<Hmac> {
    let small = |name: &str| Text(name.to_ascii_lowercase());
    let RecipePlace::Header(header) = recipe.place else { return None };
    let part = |piece: &Piece<'_>| match *piece {
        // What stands in a parameter may be anything; of what is not ASCII not every language makes the same bytes.
        Piece::Text(text) => text.is_ascii().then(|| Part::Text(Text(text.to_owned()))),
        Piece::Body => Some(Part::Body),
        Piece::Time => Some(Part::Time),
        Piece::Id => Some(Part::Id),
        Piece::Other => None,
    };
    let is_id_signed = recipe.content.contains(&Piece::Id);
    Some(Hmac {
        header: small(header),
        prefix: Text(recipe.prefix.to_owned()),
        separator: recipe.separator,
        is_hex: match recipe.encoding? {
            RecipeEncoding::Hex => true,
            RecipeEncoding::Base64 => false,
            RecipeEncoding::OtherBase64 | RecipeEncoding::Other => return None,
        },
        hash: match recipe.algorithm {
            RecipeAlgorithm::HmacSha1 => "sha1",
            RecipeAlgorithm::HmacSha256 => "sha256",
            RecipeAlgorithm::HmacSha512 => "sha512",
            RecipeAlgorithm::Ed25519 | RecipeAlgorithm::Token | RecipeAlgorithm::Basic | RecipeAlgorithm::Other => {
                return None;
            }
        },
        content: recipe.content.iter().map(part).collect::<Option<_>>()?,
        time: recipe.time.map(|time| Time {
            header: small(time.header.unwrap_or_default()),
            entry: time.header.is_none().then(|| Text(format!("{}=", time.entry))),
            is_in_millis: time.is_in_millis,
            tolerance: u64::from(time.tolerance_s) * if time.is_in_millis { 1000 } else { 1 },
        }),
        id: recipe.id.filter(|_| is_id_signed).map(small),
        is_key_base64: match recipe.key_encoding {
            None => false,
            Some(RecipeEncoding::Base64) => true,
            Some(RecipeEncoding::Hex | RecipeEncoding::OtherBase64 | RecipeEncoding::Other) => return None,
        },
        key_prefix: Text(recipe.key_prefix.to_owned()),
    })
}
