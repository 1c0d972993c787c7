//! The values that expressions work on, and the functions that cost an evaluation what they take.
//! Lists and maps of a body are shared, not copied: a loop copies each element into its variable.

use std::sync::{Arc, LazyLock};

use cel::common::traits::{Adder, Container, Indexer, Iterable, Iterator as Items, Sizer};
use cel::common::types::{self, CelBool, CelDouble, CelInt, CelList, CelMap, CelString, CelUInt, Kind, Type};
use cel::common::value::{CowVal, Val};
use cel::{Env, ExecutionError};
use serde_json::Value as Json;

use super::meter::{charge, charge_text, matches};

/// Takes the cost of a loop over its argument, and gives it back.
pub(super) const EACH: &str = "@each";
/// Takes the cost of working on its argument, and gives it back.
pub(super) const WEIGH: &str = "@weigh";
/// `==`.
pub(super) const EQUALS: &str = "@equals";
/// `!=`.
pub(super) const DIFFERS: &str = "@differs";
/// `in`.
pub(super) const CONTAINS: &str = "@contains";
/// `matches`, with the pattern's number.
pub(super) const MATCHES: &str = "@matches";

/// The standard functions and those above.
pub(super) fn environment() -> Arc<Env> {
    static ENVIRONMENT: LazyLock<Arc<Env>> = LazyLock::new(|| {
        let mut env = Env::default().with_optional_support(false).with_stdlib();
        let any = || types::DYN_TYPE;
        let functions: [(&str, Vec<Type>, cel::common::functions::Function); 6] = [
            (EACH, vec![any()], each),
            (WEIGH, vec![any()], weigh),
            (EQUALS, vec![any(), any()], |args| same(&*args[0], &*args[1]).map(boolean)),
            (DIFFERS, vec![any(), any()], |args| same(&*args[0], &*args[1]).map(|same| boolean(!same))),
            (CONTAINS, vec![any(), any()], contains),
            (MATCHES, vec![types::STRING_TYPE, types::INT_TYPE], matches_pattern),
        ];
        for (name, arguments, function) in functions {
            env.add_overload(name, name, arguments, function).expect("names with `@` are nobody else's");
        }
        Arc::new(env)
    });
    Arc::clone(&ENVIRONMENT)
}

type Result<T> = std::result::Result<T, ExecutionError>;

fn boolean<'b, 'v>(value: bool) -> CowVal<'b, 'v> {
    CowVal::owned(CelBool::from(value))
}

fn each<'b, 'v>(mut args: Vec<CowVal<'b, 'v>>) -> Result<CowVal<'b, 'v>> {
    let range = args.pop().ok_or_else(ExecutionError::missing_argument_or_target)?;
    charge(size(&*range))?;
    charge_copy(&*range)?;
    Ok(range)
}

fn weigh<'b, 'v>(mut args: Vec<CowVal<'b, 'v>>) -> Result<CowVal<'b, 'v>> {
    let value = args.pop().ok_or_else(ExecutionError::missing_argument_or_target)?;
    charge(size(&*value))?;
    charge_copy(&*value)?;
    Ok(value)
}

/// How many values a list or a map holds; others hold none, and a text would be counted through.
fn size(value: &dyn Val) -> usize {
    let holds = matches!(value.get_type().kind(), Kind::List | Kind::Map);
    value.as_sizer().filter(|_| holds).map_or(0, |sizer| usize::try_from(*sizer.size().inner()).unwrap_or(0))
}

/// What it costs to copy a value: lists and maps that the expression made are copied to the ground.
fn charge_copy(value: &dyn Val) -> Result<()> {
    if let Some(text) = value.downcast_ref::<CelString<'_>>() {
        return charge_text(text.inner().len());
    }
    if let Some(bytes) = value.downcast_ref::<types::CelBytes<'_>>() {
        return charge_text(bytes.inner().len());
    }
    if let Some(list) = value.downcast_ref::<CelList<'_>>() {
        charge(list.inner().len())?;
        return list.inner().iter().try_for_each(|item| charge_copy(item.as_ref()));
    }
    if let Some(map) = value.downcast_ref::<CelMap<'_>>() {
        charge(map.inner().len())?;
        return map.inner().values().try_for_each(|item| charge_copy(item.as_ref()));
    }
    Ok(())
}

/// Equality of any two values: lists and maps of a body and those that the expression made are of different types
/// here, and the same to whoever compares them.
fn same(a: &dyn Val, b: &dyn Val) -> Result<bool> {
    charge(1)?;
    match (a.get_type().kind(), b.get_type().kind()) {
        (Kind::List, Kind::List) => {
            let (Some(left), Some(right)) = (a.as_iterable(), b.as_iterable()) else { return Ok(false) };
            let (mut left, mut right) = (left.iter(), right.iter());
            if size(a) != size(b) {
                return Ok(false);
            }
            while let (Some(left), Some(right)) = (left.next(), right.next()) {
                if !same(left, right)? {
                    return Ok(false);
                }
            }
            Ok(true)
        }
        (Kind::Map, Kind::Map) => {
            let (Some(left), Some(right)) = (a.as_iterable(), b.as_indexer()) else { return Ok(false) };
            let Some(own) = a.as_indexer() else { return Ok(false) };
            let mut keys = left.iter();
            if size(a) != size(b) {
                return Ok(false);
            }
            while let Some(key) = keys.next() {
                let (Ok(left), Ok(right)) = (own.get(key), right.get(key)) else { return Ok(false) };
                if !same(&*left, &*right)? {
                    return Ok(false);
                }
            }
            Ok(true)
        }
        _ => {
            if let Some(text) = a.downcast_ref::<CelString<'_>>() {
                charge_text(text.inner().len())?;
            }
            Ok(a.equals(b))
        }
    }
}

fn contains<'b, 'v>(args: Vec<CowVal<'b, 'v>>) -> Result<CowVal<'b, 'v>> {
    let [value, holder] = args.as_slice() else { return Err(ExecutionError::invalid_argument_count(2, args.len())) };
    charge_copy(&**value)?;
    if holder.get_type().kind() != Kind::List {
        let holder = holder.as_container().ok_or_else(|| {
            let types = vec![value.get_type().name().to_owned(), holder.get_type().name().to_owned()];
            ExecutionError::no_such_overload("in", types)
        })?;
        return holder.contains(&**value).map(boolean);
    }
    let Some(items) = holder.as_iterable() else { return Ok(boolean(false)) };
    let mut items = items.iter();
    while let Some(item) = items.next() {
        if same(item, &**value)? {
            return Ok(boolean(true));
        }
    }
    Ok(boolean(false))
}

fn matches_pattern<'b, 'v>(args: Vec<CowVal<'b, 'v>>) -> Result<CowVal<'b, 'v>> {
    let text = args[0].downcast_ref::<CelString<'_>>().ok_or_else(ExecutionError::missing_argument_or_target)?;
    let pattern = args[1].downcast_ref::<CelInt>().ok_or_else(ExecutionError::missing_argument_or_target)?;
    matches(usize::try_from(*pattern.inner()).unwrap_or(usize::MAX), text.inner()).map(boolean)
}

/// A list of a body.
#[derive(Debug, Clone)]
pub(super) struct List<'v>(pub(super) Arc<[Box<dyn Val + 'v>]>);

/// A map of a body, or of headers: keys in order, each with the value at its place.
#[derive(Debug, Clone)]
pub(super) struct Map<'v>(Arc<Entries<'v>>);

#[derive(Debug)]
struct Entries<'v> {
    keys: Vec<CelString<'v>>,
    values: Vec<Box<dyn Val + 'v>>,
}

impl<'v> Map<'v> {
    /// A map of these entries; the last of a key counts.
    pub(super) fn new(mut entries: Vec<(CelString<'v>, Box<dyn Val + 'v>)>) -> Self {
        entries.sort_by(|(a, _), (b, _)| a.inner().cmp(b.inner()));
        entries.dedup_by(|later, earlier| {
            let same = later.0 == earlier.0;
            if same {
                std::mem::swap(later, earlier);
            }
            same
        });
        let (keys, values) = entries.into_iter().unzip();
        Self(Arc::new(Entries { keys, values }))
    }

    fn find(&self, key: &dyn Val) -> Option<&(dyn Val + 'v)> {
        let key = key.downcast_ref::<CelString<'_>>()?.inner();
        let place = self.0.keys.binary_search_by(|own| own.inner().cmp(key)).ok()?;
        Some(self.0.values[place].as_ref())
    }
}

struct Walk<'b, T>(std::slice::Iter<'b, T>);

impl<'b, 'v: 'w, 'w> Items<'b, 'w> for Walk<'b, Box<dyn Val + 'v>> {
    fn next(&mut self) -> Option<&'b (dyn Val + 'w)> {
        self.0.next().map(|item| item.as_ref() as &(dyn Val + 'w))
    }
}

impl<'b, 'v: 'w, 'w> Items<'b, 'w> for Walk<'b, CelString<'v>> {
    fn next(&mut self) -> Option<&'b (dyn Val + 'w)> {
        self.0.next().map(|key| key as &(dyn Val + 'w))
    }
}

/// The accessors of what both lists and maps can do.
macro_rules! holds_values {
    ($kind:expr) => {
        fn get_type(&self) -> &Type {
            <Self as Val>::cel_type()
        }

        fn cel_type() -> &'static Type {
            static KIND: Type = $kind;
            &KIND
        }

        fn as_container(&self) -> Option<&dyn Container> {
            Some(self)
        }

        fn as_indexer<'b, 'w>(&'b self) -> Option<&'b (dyn Indexer + 'w)>
        where
            Self: 'w,
        {
            Some(self)
        }

        fn as_iterable<'b, 'w>(&'b self) -> Option<&'b (dyn Iterable + 'w)>
        where
            Self: 'w,
        {
            Some(self)
        }

        fn as_sizer(&self) -> Option<&dyn Sizer> {
            Some(self)
        }

        fn equals(&self, other: &dyn Val) -> bool {
            same(self, other).unwrap_or(false)
        }

        fn clone_as_boxed<'w>(&self) -> Box<dyn Val + 'w>
        where
            Self: 'w,
        {
            Box::new(self.clone())
        }
    };
}

impl Val for List<'_> {
    holds_values!(types::LIST_TYPE);

    fn as_adder<'b, 'w>(&'b self) -> Option<&'b (dyn Adder + 'w)>
    where
        Self: 'w,
    {
        Some(self)
    }
}

impl Val for Map<'_> {
    holds_values!(types::MAP_TYPE);
}

impl Adder for List<'_> {
    fn add<'b, 'w>(&'b self, other: &(dyn Val + 'w)) -> Result<CowVal<'b, 'w>>
    where
        Self: 'w,
    {
        let more = other.as_iterable().ok_or_else(|| {
            let types = vec![self.get_type().name().to_owned(), other.get_type().name().to_owned()];
            ExecutionError::no_such_overload("_+_", types)
        })?;
        let mut items: Vec<Box<dyn Val + 'w>> = self.0.iter().map(|item| item.clone_as_boxed()).collect();
        let mut more = more.iter();
        while let Some(item) = more.next() {
            items.push(item.clone_as_boxed());
        }
        Ok(CowVal::owned(CelList::from(items)))
    }
}

impl Sizer for List<'_> {
    fn size(&self) -> CelInt {
        i64::try_from(self.0.len()).unwrap_or(i64::MAX).into()
    }
}

impl Sizer for Map<'_> {
    fn size(&self) -> CelInt {
        i64::try_from(self.0.keys.len()).unwrap_or(i64::MAX).into()
    }
}

impl Iterable for List<'_> {
    fn iter<'b, 'w>(&'b self) -> Box<dyn Items<'b, 'w> + 'b>
    where
        Self: 'w,
    {
        Box::new(Walk(self.0.iter()))
    }
}

impl Iterable for Map<'_> {
    fn iter<'b, 'w>(&'b self) -> Box<dyn Items<'b, 'w> + 'b>
    where
        Self: 'w,
    {
        Box::new(Walk(self.0.keys.iter()))
    }
}

impl Container for List<'_> {
    fn contains(&self, value: &dyn Val) -> Result<bool> {
        for item in self.0.iter() {
            if same(item.as_ref(), value)? {
                return Ok(true);
            }
        }
        Ok(false)
    }
}

impl Container for Map<'_> {
    fn contains(&self, value: &dyn Val) -> Result<bool> {
        Ok(self.find(value).is_some())
    }
}

impl Indexer for List<'_> {
    fn get<'b, 'w>(&'b self, index: &dyn Val) -> Result<CowVal<'b, 'w>>
    where
        Self: 'w,
    {
        let place = match index.get_type().kind() {
            Kind::Int => index.downcast_ref::<CelInt>().map(|place| *place.inner()),
            Kind::UInt => index.downcast_ref::<CelUInt>().and_then(|place| i64::try_from(*place.inner()).ok()),
            _ => None,
        };
        let Some(place) = place else {
            let types = vec![self.get_type().name().to_owned(), index.get_type().name().to_owned()];
            return Err(ExecutionError::no_such_overload("_[_]", types));
        };
        let item = usize::try_from(place).ok().and_then(|place| self.0.get(place));
        let item = item.ok_or_else(|| ExecutionError::IndexOutOfBounds(place.into()))?;
        Ok(CowVal::Borrowed(item.as_ref()))
    }

    fn steal<'w>(self: Box<Self>, index: &dyn Val) -> Result<Box<dyn Val + 'w>>
    where
        Self: 'w,
    {
        self.get(index).map(CowVal::into_owned)
    }
}

impl Indexer for Map<'_> {
    fn get<'b, 'w>(&'b self, key: &dyn Val) -> Result<CowVal<'b, 'w>>
    where
        Self: 'w,
    {
        let value = self.find(key).ok_or_else(|| match key.downcast_ref::<CelString<'_>>() {
            Some(name) => ExecutionError::no_such_key(name.inner()),
            None => ExecutionError::no_such_key("a key that is not a text"),
        })?;
        Ok(CowVal::Borrowed(value))
    }

    fn steal<'w>(self: Box<Self>, key: &dyn Val) -> Result<Box<dyn Val + 'w>>
    where
        Self: 'w,
    {
        self.get(key).map(CowVal::into_owned)
    }
}

/// A value as JSON.
pub(super) fn to_json(value: &dyn Val) -> std::result::Result<Json, String> {
    charge(1).map_err(|error| error.to_string())?;
    if let Some(text) = value.downcast_ref::<CelString<'_>>() {
        return Ok(Json::String(text.inner().to_owned()));
    }
    match value.get_type().kind() {
        Kind::NullType => Ok(Json::Null),
        Kind::Boolean => Ok(value.downcast_ref::<CelBool>().map(|own| *own.inner()).into()),
        Kind::Int => Ok(value.downcast_ref::<CelInt>().map(|own| *own.inner()).into()),
        Kind::UInt => Ok(value.downcast_ref::<CelUInt>().map(|own| *own.inner()).into()),
        Kind::Double => Ok(value.downcast_ref::<CelDouble>().map(|own| *own.inner()).into()),
        Kind::List => {
            let mut items = Vec::new();
            if let Some(list) = value.as_iterable() {
                let mut walk = list.iter();
                while let Some(item) = walk.next() {
                    items.push(to_json(item)?);
                }
            }
            Ok(Json::Array(items))
        }
        Kind::Map => {
            let mut entries = serde_json::Map::new();
            if let (Some(keys), Some(map)) = (value.as_iterable(), value.as_indexer()) {
                let mut keys = keys.iter();
                while let Some(key) = keys.next() {
                    let name = match to_json(key)? {
                        Json::String(name) => name,
                        other => other.to_string(),
                    };
                    let value = map.get(key).map_err(|error| error.to_string())?;
                    entries.insert(name, to_json(&*value)?);
                }
            }
            Ok(Json::Object(entries))
        }
        _ => Err(format!("its value is of type {}, which is no JSON", value.get_type().name())),
    }
}
