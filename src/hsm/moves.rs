//! Objects on their way from one place to another while both are used.
//!
//! A copy crosses wrapped under a key of its own for each move, and is compared with what the source still holds before anybody
//! relies on it. Whoever has read where a value was, and asks there after it has gone, is sent after it; a destruction goes both
//! ways; what is left behind is destroyed when the uses that had begun by then are over. New objects go to where the others
//! are going, as long as there is room. Which moves there are, running and done, is remembered by whoever orders them.

use std::{
    collections::HashMap,
    sync::{Arc, Weak},
    time::{Duration, Instant},
};

use arc_swap::ArcSwap;
use moka::sync::Cache;
use parking_lot::Mutex;
use tokio::time::sleep;

use super::{
    Group, GroupKind, Place, Pool,
    copy::{Copied, EXCHANGE, Likeness, deliver, delivery, likeness},
    error::refused,
    pool::{Class, Errand, Shared},
    system::system_name,
    work::{GroupKey, Kek, Manner, Open, Tray, Work},
};
use crate::{
    domain::{TokenId, TokenReference, reference::CkaId},
    engine::ports::{HsmAnswer, HsmError, HsmErrorKind, HsmRequest, Placement},
};

/// How long the destruction of what is left behind waits for uses that have begun. Who takes longer is sent after the value.
const USES: Duration = Duration::from_secs(1);
/// How long somebody may know where a value was and still want it destroyed there.
const REMEMBERED: Duration = Duration::from_secs(900);
/// For one step of bringing the key.
const STEP: Duration = Duration::from_secs(60);

/// From where to where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Route {
    /// The names that references to what is to be moved bear.
    pub from: Vec<TokenId>,
    /// The places that take it, tokens or replicated groups; references will bear these names.
    pub to: Vec<TokenId>,
}

/// A move that is in force: it runs, or its source takes no new objects since.
struct Move {
    id: String,
    route: Route,
    /// The purpose of its key.
    kek: Kek,
    /// Tokens that have the key, and whether they fill values with zeros.
    keyed: tokio::sync::Mutex<HashMap<TokenId, bool>>,
    /// Of these a copy may stand at the target.
    copied: Cache<CkaId, TokenId>,
}

/// The moves in force, and the uses that run.
#[derive(Default)]
pub(super) struct Moves {
    all: ArcSwap<Vec<Arc<Move>>>,
    uses: Uses,
}

/// Uses that have begun, told apart by when.
#[derive(Default)]
struct Uses {
    now: ArcSwap<Epoch>,
    before: Mutex<Vec<Weak<Epoch>>>,
}

/// As long as anybody holds it, a use that began in it runs.
#[derive(Default)]
pub(super) struct Epoch;

impl Uses {
    fn enter(&self) -> Arc<Epoch> {
        self.now.load_full()
    }

    /// Waits for the uses that have begun, for as long as that at most.
    async fn over(&self, patience: Duration) {
        let until = Instant::now() + patience;
        let old = self.now.swap(Arc::new(Epoch));
        let awaited = {
            let mut before = self.before.lock();
            before.retain(|epoch| epoch.strong_count() > 0);
            before.push(Arc::downgrade(&old));
            before.clone()
        };
        drop(old);
        while awaited.iter().any(|epoch| epoch.strong_count() > 0) && Instant::now() < until {
            sleep(Duration::from_millis(1)).await;
        }
    }
}

impl Pool {
    /// From where to where a move between these two goes: each the name of a token or of a group.
    ///
    /// # Errors
    ///
    /// What is wrong with the names.
    pub fn route(&self, from: &TokenId, to: &TokenId) -> Result<Route, String> {
        let route = Route { from: self.named_by(from)?.0, to: self.named_by(to)?.1 };
        match route.to.iter().find(|to| route.from.contains(to)) {
            Some(both) => Err(format!("{both} would be moved to itself")),
            None => Ok(route),
        }
    }

    /// The names that references bear, and the places, of a token or group.
    fn named_by(&self, name: &TokenId) -> Result<(Vec<TokenId>, Vec<TokenId>), String> {
        if let Some(Group { kind, .. }) = self.groups.iter().find(|group| group.config.name == name.0) {
            return Ok(match kind {
                GroupKind::Spread(tokens) => {
                    let names: Vec<_> = tokens.iter().map(|token| token.id.clone()).collect();
                    (names.clone(), names)
                }
                GroupKind::Mirror(mirror) => {
                    let own = self.tokens.iter().filter(|token| mirror.has(&token.id)).map(|token| token.id.clone());
                    ([mirror.id.clone()].into_iter().chain(own).collect(), vec![mirror.id.clone()])
                }
            });
        }
        match self.tokens.iter().find(|token| token.id == *name).map(|token| self.around(token)) {
            Some(Place::Token(token)) => Ok((vec![token.id.clone()], vec![token.id.clone()])),
            Some(Place::Mirror(mirror)) => {
                Err(format!("{name} is a token of the replicated group {0}: name the group {0}", mirror.id))
            }
            None => Err(format!("there is no token [hsm.{name}] and no group [groups.{name}]")),
        }
    }

    /// Puts a move in force: from now on new objects go to the target, and what is not found at the source is looked for there.
    /// `id` is the move's own, over restarts too.
    pub fn begin_move(&self, id: &str, route: Route) {
        let one = Arc::new(Move {
            id: id.to_owned(),
            route,
            kek: format!("{EXCHANGE}{id}").into(),
            keyed: tokio::sync::Mutex::default(),
            copied: Cache::builder().max_capacity(10_000_000).time_to_live(REMEMBERED).build(),
        });
        self.moves.all.rcu(|all| {
            let mut all: Vec<Arc<Move>> = all.iter().filter(|known| known.id != id).cloned().collect();
            all.push(Arc::clone(&one));
            all
        });
    }

    /// Takes a move out of force.
    pub fn forget_move(&self, id: &str) {
        self.moves.all.rcu(|all| all.iter().filter(|known| known.id != id).cloned().collect::<Vec<_>>());
    }

    /// Destroys the key of a move that is done, wherever it can be reached; what it has moved stays found.
    pub async fn end_move(&self, id: &str) {
        let Some(one) = self.moves.all.load().iter().find(|known| known.id == id).cloned() else { return };
        let mut keyed = one.keyed.lock().await;
        keyed.clear();
        for token in self.parties(&one) {
            let (key, pair) = (system_name(&one.kek).id, delivery(&one.kek).id);
            let work = Work::Clear(vec![(key, Class::Secret), (pair, Class::Private), (pair, Class::Public)]);
            if let Err(error) = token.ask(work, Errand::of_gateway(STEP)).await {
                tracing::warn!(token = %token.id, %error, label = one.kek.as_ref(), "the key of a move stays on the token; it may be deleted");
            }
        }
    }

    /// Whether an object of that identifier could go there now: the place is there and has room.
    #[must_use]
    pub fn takes_objects(&self, place: &TokenId) -> bool {
        self.place_named(place).is_ok_and(|place| place.takes_objects())
    }

    /// Whether what stands there can be reached.
    #[must_use]
    pub fn is_there(&self, place: &TokenId) -> bool {
        match self.place_named(place) {
            Ok(Place::Token(token)) => token.link.load().is_some(),
            Ok(Place::Mirror(mirror)) => !mirror.serving().is_empty(),
            Err(_) => false,
        }
    }

    /// Whether the gateway's own keys are at one of these places: it needs them at every start.
    #[must_use]
    pub fn holds_own_keys(&self, places: &[TokenId]) -> bool {
        self.first().is_ok_and(|first| places.contains(first.id()))
    }

    /// Where what would go to a place goes instead, the last stop of its journey first.
    pub(super) fn sent_on(&self, place: &TokenId) -> Vec<TokenId> {
        let all = self.moves.all.load();
        let mut stops: Vec<TokenId> = Vec::new();
        let mut next = vec![place.clone()];
        while let Some(at) = next.pop() {
            for to in all.iter().filter(|one| one.route.from.contains(&at)).flat_map(|one| &one.route.to) {
                if to != place && !stops.contains(to) {
                    stops.push(to.clone());
                    next.push(to.clone());
                }
            }
        }
        stops.reverse();
        stops
    }

    /// The tokens that take part in a move.
    fn parties(&self, one: &Move) -> Vec<Arc<Shared>> {
        let takes_part = |token: &&Arc<Shared>| {
            let place = self.around(token);
            one.route.from.contains(place.id()) || one.route.to.contains(place.id())
        };
        self.tokens.iter().filter(takes_part).cloned().collect()
    }

    // ------------------------------------------------------------------------------------------------------- requests

    /// Uses a value where it is, or where it has gone.
    pub(super) async fn use_value(&self, request: Arc<HsmRequest>, errand: Errand) -> Result<HsmAnswer, HsmError> {
        let _runs = self.moves.uses.enter();
        let first = match self.place_of(&request) {
            Ok(place) => self.use_at(place, &request, errand).await,
            Err(error) => Err(error),
        };
        match first {
            Err(error) if !self.moves.all.load().is_empty() && may_have_moved(&error) => {
                Box::pin(self.use_after_move(&request, errand, error)).await
            }
            answer => answer,
        }
    }

    async fn use_at(&self, place: Place<'_>, request: &Arc<HsmRequest>, errand: Errand) -> Result<HsmAnswer, HsmError> {
        match place {
            Place::Token(token) => token.ask(Work::Engine(Arc::clone(request)), errand).await,
            Place::Mirror(mirror) => Box::pin(mirror.use_it(request, errand)).await,
        }
    }

    /// As [`Self::use_value`], when it was not found where the reference says.
    async fn use_after_move(
        &self,
        request: &Arc<HsmRequest>,
        errand: Errand,
        first: HsmError,
    ) -> Result<HsmAnswer, HsmError> {
        let named: Vec<TokenId> =
            used(request).into_iter().flatten().map(|reference| reference.token.clone()).collect();
        let mut places: Vec<TokenId> = Vec::new();
        for place in named.iter().flat_map(|name| self.sent_on(name)).chain(named.iter().skip(1).cloned()) {
            if !places.contains(&place) {
                places.push(place);
            }
        }
        let mut last = first;
        for place in places {
            match self.use_at(self.place_named(&place)?, request, errand).await {
                Err(error) if may_have_moved(&error) => last = error,
                answer => return answer,
            }
        }
        // Two keys, and nowhere both: the one that is wrapped comes out, as it would for a client, and is wrapped there.
        if let HsmRequest::WrapKey { wrapping, target, mode } = &**request {
            let reveal = HsmRequest::RevealKey { reference: target.clone() };
            let value = match Box::pin(self.use_value(Arc::new(reveal), errand)).await? {
                HsmAnswer::Value(value) => value,
                _ => return Err(refused(HsmErrorKind::Internal, "answer")),
            };
            let wrap = HsmRequest::WrapBytes { wrapping: wrapping.clone(), value, mode: mode.clone() };
            return Box::pin(self.use_value(Arc::new(wrap), errand)).await;
        }
        Err(last)
    }

    /// Destroys a value where it is said to be, and the copy that a move may have made of it.
    pub(super) async fn destroy_value(&self, at: Placement, errand: Errand) -> Result<HsmAnswer, HsmError> {
        let copies: Vec<TokenId> = {
            let all = self.moves.all.load();
            let of_it = all.iter().filter(|one| one.route.from.contains(&at.token));
            of_it.filter_map(|one| one.copied.get(&at.cka_id)).collect()
        };
        let answer = self.destroy_at(&at, errand).await?;
        for token in copies {
            self.destroy_at(&Placement { token, cka_id: at.cka_id }, errand).await?;
        }
        Ok(answer)
    }

    async fn destroy_at(&self, at: &Placement, errand: Errand) -> Result<HsmAnswer, HsmError> {
        let request = HsmRequest::Clear { at: at.clone() };
        match self.place_named(&at.token)? {
            Place::Token(token) => token.ask(Work::Engine(Arc::new(request)), errand).await,
            Place::Mirror(mirror) => mirror.call(request, errand).await,
        }
    }

    /// Destroys one half of a move, when the uses that have begun are over.
    pub(super) async fn clear(&self, at: &Placement, errand: Errand) -> Result<HsmAnswer, HsmError> {
        self.moves.uses.over(USES.min(errand.rest() / 2)).await;
        self.destroy_at(at, errand).await
    }

    /// Lays a copy at another place and compares it with what is here.
    pub(super) async fn copy_to(
        &self,
        reference: TokenReference,
        to: &TokenId,
        errand: Errand,
    ) -> Result<HsmAnswer, HsmError> {
        let (source, target) = (self.place_named(&reference.token)?, self.place_named(to)?);
        let goes = |one: &&Arc<Move>| one.route.from.contains(&reference.token) && one.route.to.contains(to);
        let one = self.moves.all.load().iter().find(goes).cloned();
        let one = one.ok_or_else(|| refused(HsmErrorKind::BadParameters, "a move that was not ordered"))?;
        let id = reference.cka_id;
        let from = self.with_key(&one, source).await?;
        let into = self.with_key(&one, target).await?;
        let open = if into.iter().any(|(_, fills)| *fills) { Open::Generic } else { Open::Least };
        let mut manner = Manner { kek: Arc::clone(&one.kek), open };
        one.copied.insert(id, to.clone());
        let mut copies = self.copies(&from, id, &manner, errand).await?;
        if let Err(error) = self.take_in(target, &one, id, &copies, errand).await {
            // Some tokens unwrap no keys of a kind that they take in otherwise.
            if !is_about_it(&error) {
                return Err(error);
            }
            manner.open = Open::All;
            copies = self.copies(&from, id, &manner, errand).await?;
            self.take_in(target, &one, id, &copies, errand).await.map_err(not_offered)?;
        }
        let there = self.copy_out(&into, id, &manner, errand).await.map_err(not_offered)?;
        let is_same = match likeness(&copies, &there) {
            Likeness::Same => true,
            Likeness::Different => false,
            Likeness::Undecided => self.prints(&from, id, errand).await? == self.prints(&into, id, errand).await?,
        };
        if !is_same {
            tracing::error!(object = ?uuid::Uuid::from_bytes(id.0), %to, "the copy is not what the source holds");
            return Err(refused(HsmErrorKind::Internal, "comparison of the copy"));
        }
        Ok(HsmAnswer::Made { reference: TokenReference { token: to.clone(), ..reference }, digest: None })
    }

    async fn copies(
        &self,
        from: &[(Arc<Shared>, bool)],
        id: CkaId,
        manner: &Manner,
        errand: Errand,
    ) -> Result<Arc<Vec<Copied>>, HsmError> {
        let copies = Arc::new(self.copy_out(from, id, manner, errand).await?);
        if copies.is_empty() {
            return Err(refused(HsmErrorKind::ObjectMissing, "C_FindObjects"));
        }
        Ok(copies)
    }

    async fn take_in(
        &self,
        target: Place<'_>,
        one: &Move,
        id: CkaId,
        copies: &Arc<Vec<Copied>>,
        errand: Errand,
    ) -> Result<(), HsmError> {
        match target {
            Place::Token(token) => {
                token.ask(Work::CopyIn(id, Arc::clone(&one.kek), Arc::clone(copies)), errand).await.map(drop)
            }
            Place::Mirror(mirror) => mirror.take_in(id, &one.kek, copies, errand).await,
        }
    }

    /// The tokens of a place that can be asked, with the key of the move on them.
    async fn with_key(&self, one: &Move, place: Place<'_>) -> Result<Vec<(Arc<Shared>, bool)>, HsmError> {
        let tokens = match place {
            Place::Token(token) => vec![Arc::clone(token)],
            Place::Mirror(mirror) => mirror.serving(),
        };
        let mut ready = Vec::with_capacity(tokens.len());
        for token in tokens {
            let fills = self.bring_key(one, &token).await?;
            ready.push((token, fills));
        }
        if ready.is_empty() {
            return Err(refused(HsmErrorKind::Unavailable, "no token of the group serves"));
        }
        Ok(ready)
    }

    /// The move's key: it is on the token, or comes from another one, or is made. Answers whether the token fills values.
    async fn bring_key(&self, one: &Move, token: &Arc<Shared>) -> Result<bool, HsmError> {
        let mut keyed = one.keyed.lock().await;
        if let Some(fills) = keyed.get(&token.id) {
            return Ok(*fills);
        }
        let step = |token: &Arc<Shared>, step| {
            let (token, kek) = (Arc::clone(token), Arc::clone(&one.kek));
            async move { token.ask(Work::GroupKey(kek, step), Errand::of_gateway(STEP)).await }
        };
        match step(token, GroupKey::Find).await {
            Ok(_) => {}
            Err(error) if error.kind == HsmErrorKind::ObjectMissing => {
                let mut source = None;
                for other in self.parties(one).into_iter().filter(|other| other.id != token.id) {
                    if other.link.load().is_some() && step(&other, GroupKey::Find).await.is_ok() {
                        source = Some(other);
                        break;
                    }
                }
                match source {
                    Some(source) => deliver(|give| step(&source, give), |take| step(token, take)).await?,
                    None => drop(step(token, GroupKey::Make).await?),
                }
            }
            Err(error) => return Err(error),
        }
        let tray: Tray<bool> = Arc::default();
        token.ask(Work::Fills(Arc::clone(&tray)), Errand::of_gateway(STEP)).await?;
        let fills = tray.lock().first().copied().unwrap_or_default();
        keyed.insert(token.id.clone(), fills);
        Ok(fills)
    }

    /// Copies from the first of these tokens that has the object.
    async fn copy_out(
        &self,
        tokens: &[(Arc<Shared>, bool)],
        id: CkaId,
        manner: &Manner,
        errand: Errand,
    ) -> Result<Vec<Copied>, HsmError> {
        let mut last = None;
        for (token, _) in tokens.iter().filter(|(token, _)| !self.owes(&token.id, id)) {
            let tray: Tray<Copied> = Arc::default();
            match token.ask(Work::CopyOut(id, manner.clone(), Arc::clone(&tray)), errand).await {
                Ok(_) => return Ok(std::mem::take(&mut *tray.lock())),
                Err(error) => last = Some(error),
            }
        }
        Err(last.unwrap_or_else(|| refused(HsmErrorKind::Unavailable, "no token has the object just now")))
    }

    async fn prints(
        &self,
        tokens: &[(Arc<Shared>, bool)],
        id: CkaId,
        errand: Errand,
    ) -> Result<Vec<super::copy::Print>, HsmError> {
        let mut tokens = tokens.iter().filter(|(token, _)| !self.owes(&token.id, id));
        let (token, _) =
            tokens.next().ok_or_else(|| refused(HsmErrorKind::Unavailable, "no token has the object just now"))?;
        let tray = Arc::default();
        token.ask(Work::Prints(id, Arc::clone(&tray)), errand).await?;
        let prints = std::mem::take(&mut *tray.lock());
        Ok(prints)
    }
}

/// Whether a token would not take a copy because of what it is.
fn is_about_it(error: &HsmError) -> bool {
    use HsmErrorKind as K;
    matches!(
        error.kind,
        K::Unsupported | K::BadParameters | K::NotPermitted | K::BadData | K::DecryptionFailed | K::Internal
    )
}

/// What the target says of a copy is about the target: there is nothing wrong with the object.
fn not_offered(error: HsmError) -> HsmError {
    let is_final = error.kind == HsmErrorKind::NotExtractable
        || is_about_it(&error) && !matches!(error.kind, HsmErrorKind::Internal | HsmErrorKind::DecryptionFailed);
    if is_final { HsmError { kind: HsmErrorKind::Unsupported, ..error } } else { error }
}

/// What a value that was moved since looks like to who knows its old place: it is gone, or stands apart from the other key.
fn may_have_moved(error: &HsmError) -> bool {
    error.kind == HsmErrorKind::ObjectMissing || error.function == super::KEYS_APART
}

/// The values that a request uses and leaves as they are.
pub(super) fn used(request: &HsmRequest) -> [Option<&TokenReference>; 2] {
    use HsmRequest as R;
    match request {
        R::RevealKey { reference } | R::RevealBytes { reference } | R::Digest { reference, .. } => {
            [Some(reference), None]
        }
        R::WrapKey { wrapping, target, .. } => [Some(wrapping), Some(target)],
        R::WrapBytes { wrapping: key, .. }
        | R::UnwrapBytes { wrapping: key, .. }
        | R::Encrypt { key, .. }
        | R::Decrypt { key, .. }
        | R::Sign { key, .. }
        | R::Verify { key, .. }
        | R::Mac { key, .. }
        | R::Derive { key, .. } => [Some(key), None],
        R::GenerateKey { .. }
        | R::GenerateKeyPair { .. }
        | R::ImportKey { .. }
        | R::HoldBytes { .. }
        | R::MakeTwin { .. }
        | R::Destroy { .. }
        | R::CopyTo { .. }
        | R::Clear { .. }
        | R::Find { .. }
        | R::CertifierKey
        | R::CertifierSign { .. }
        | R::Random { .. }
        | R::SeedRandom { .. } => [None, None],
    }
}
