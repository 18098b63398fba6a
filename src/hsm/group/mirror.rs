//! A replicated group: every object on every token, and requests that go on when a token does not.
//!
//! Its objects are named by the group. A creation is made on one token, copied to the others and acknowledged when enough
//! of them have it; what the rest owe is durable by then. A use goes to a token that serves and owes nothing of the object,
//! and to the next one where that fails as devices fail. What could not be told from a wrong answer is asked once more
//! elsewhere.

use std::{
    collections::HashSet,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use parking_lot::Mutex;
use tokio::time::sleep;

use super::{
    ledger::Ledger,
    member::{Member, Standing, kept},
};
use crate::{
    crypto::hash::to_hex,
    domain::{TokenId, reference::CkaId},
    engine::ports::{Found, HsmAnswer, HsmError, HsmErrorKind, HsmRequest, Memory, Placement, StoreError},
    hsm::{
        copy::Copied,
        error::refused,
        pool::{Errand, Shared},
        system::{CERTIFIER, GROUP_KEY, system_name},
        work::{Kek, Making, Manner, Open, Tray, Work},
    },
};

/// How long a token may take while there is another to ask. Making a key pair may take longer.
const PATIENCE: Duration = Duration::from_millis(800);
/// How long a request waits for any token to serve.
const NOBODY: Duration = Duration::from_secs(2);

/// A group whose tokens all hold every object.
pub(in crate::hsm) struct Mirror {
    pub(in crate::hsm) id: TokenId,
    pub(super) members: Vec<Arc<Member>>,
    min: usize,
    memory: Arc<dyn Memory>,
    next: AtomicUsize,
    pub(super) stopping: AtomicBool,
    pub(super) began: Instant,
    /// Held while the group's own keys come into being.
    pub(super) founding: tokio::sync::Mutex<()>,
    founded: Mutex<HashSet<&'static str>>,
    /// Held while it is decided what becomes of a name that all owe: one of them must be right, and not two.
    pub(super) deciding: tokio::sync::Mutex<()>,
}

/// What an error of one token means for the request.
enum Verdict {
    /// Every token would say so.
    Final,
    /// Another token may do it.
    Elsewhere,
    /// Another token may do it, and this one is failing.
    Failing,
    /// The object is not there; the others may have it.
    Missing,
    /// The data do not fit the key, or the token computes wrongly.
    Undecided,
}

/// What came of copying a new object.
enum Spread {
    /// Enough tokens have it, and the others owe it.
    Done,
    /// The token that has it fails, and has given it to nobody.
    SourceFailed(HsmError),
}

/// Who computes wrongly when a token does not open what another one wrapped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Blame {
    /// Who wrapped it: it does not open it either.
    Giver,
    /// Who does not open it.
    Taker,
}

fn verdict(error: &HsmError) -> Verdict {
    match error.kind {
        HsmErrorKind::Unavailable | HsmErrorKind::Internal => Verdict::Failing,
        HsmErrorKind::Busy
        | HsmErrorKind::Unsupported
        | HsmErrorKind::NotExtractable
        | HsmErrorKind::NotPermitted
        | HsmErrorKind::Refused => Verdict::Elsewhere,
        HsmErrorKind::ObjectMissing => Verdict::Missing,
        HsmErrorKind::DecryptionFailed => Verdict::Undecided,
        HsmErrorKind::BadParameters | HsmErrorKind::BadData | HsmErrorKind::Full => Verdict::Final,
    }
}

impl Mirror {
    /// A group of these tokens.
    ///
    /// # Errors
    ///
    /// The store's own, for what the tokens owe.
    pub(in crate::hsm) fn new(
        id: TokenId,
        tokens: Vec<Arc<Shared>>,
        min: usize,
        memory: &Arc<dyn Memory>,
    ) -> Result<Self, StoreError> {
        let member = |token: Arc<Shared>| {
            let ledger = Ledger::open(Arc::clone(memory), &id.0, &token.id.0)?;
            Ok(Arc::new(Member::new(token, ledger)))
        };
        let members = tokens.into_iter().map(member).collect::<Result<_, StoreError>>()?;
        let memory = Arc::clone(memory);
        Ok(Self {
            id,
            members,
            min,
            memory,
            next: AtomicUsize::new(0),
            stopping: AtomicBool::new(false),
            began: Instant::now(),
            founding: tokio::sync::Mutex::new(()),
            founded: Mutex::default(),
            deciding: tokio::sync::Mutex::new(()),
        })
    }

    /// Whether this token of the group may differ from the others under this name.
    pub(in crate::hsm) fn owes(&self, token: &TokenId, id: CkaId) -> bool {
        self.members.iter().any(|member| member.token.id == *token && member.owes(id))
    }

    /// Whether the token is one of this group's.
    pub(in crate::hsm) fn has(&self, token: &TokenId) -> bool {
        self.members.iter().any(|member| member.token.id == *token)
    }

    /// Whether enough tokens serve for new objects.
    pub(in crate::hsm) fn takes_objects(&self) -> bool {
        self.members.iter().filter(|member| member.serves()).count() >= self.min
    }

    /// Ends what goes on in the background.
    pub(in crate::hsm) fn stop(&self) {
        self.stopping.store(true, Ordering::Release);
        self.members.iter().for_each(|member| member.wake());
    }

    /// How a member does, beside its link: health, why, and how much it owes.
    pub(in crate::hsm) fn health(&self, token: &TokenId) -> Option<(&'static str, Option<String>, usize)> {
        let member = self.members.iter().find(|member| member.token.id == *token)?;
        let (health, reason) = match member.standing() {
            Standing::Out(why) => ("resyncing", Some(why)),
            Standing::Fenced(why, _) => ("fenced", Some(why)),
            Standing::Drained => {
                ("drained", Some("an operator took it out; `portcullis hsm join` lets it serve".to_owned()))
            }
            Standing::In(_) if !member.serves() => (
                "resyncing",
                Some("its link was lost; it is compared with the others before it serves again".to_owned()),
            ),
            Standing::In(_) if member.is_doubtful() => {
                ("degraded", Some("it fails or hangs; the other tokens of its group serve".to_owned()))
            }
            Standing::In(_) => ("ready", None),
        };
        Some((health, reason, member.owed()))
    }

    fn member(&self, token: &TokenId) -> Result<&Arc<Member>, String> {
        let member = self.members.iter().find(|member| member.token.id == *token);
        member.ok_or_else(|| format!("{token} is a group and not a token; name one of its tokens"))
    }

    /// An operator takes a token out.
    pub(in crate::hsm) async fn drain(&self, token: &TokenId) -> Result<(), String> {
        let member = self.member(token)?;
        let others = self.members.iter().filter(|other| !Arc::ptr_eq(other, member) && other.serves());
        if others.clone().count() < self.min {
            return Err(format!("too few tokens of {} would serve without {token}", self.id));
        }
        if others.into_iter().any(|other| other.owed() > 0) {
            return Err(format!("another token of {} is still being made equal; wait until it owes nothing", self.id));
        }
        self.remember(&self.drained(token), vec![1]).await.map_err(|error| error.to_string())?;
        member.stand(Standing::Drained);
        Ok(())
    }

    /// An operator lets a token serve again.
    pub(in crate::hsm) async fn readmit(&self, token: &TokenId) -> Result<(), String> {
        let member = self.member(token)?;
        self.remember(&self.drained(token), Vec::new()).await.map_err(|error| error.to_string())?;
        if !matches!(member.standing(), Standing::In(_)) {
            member.stand(Standing::Out("an operator lets it serve again".to_owned()));
        }
        member.wake();
        Ok(())
    }

    /// An operator wants a token compared with another one.
    pub(in crate::hsm) async fn resync(&self, token: &TokenId) -> Result<usize, String> {
        let member = self.member(token)?;
        let source = self.other(member, &[]).ok_or_else(|| format!("no other token of {} serves", self.id))?;
        let count = self.compare(member, source).await.map_err(|error| error.to_string())?;
        member.wake();
        Ok(count)
    }

    /// The fact that a token is drained.
    pub(super) fn drained(&self, token: &TokenId) -> String {
        format!("group/{}/drained/{token}", self.id)
    }

    /// Runs a request; answers name the group and not the token.
    pub(in crate::hsm) async fn call(&self, mut request: HsmRequest, errand: Errand) -> Result<HsmAnswer, HsmError> {
        let_copies_leave(&mut request);
        let request = Arc::new(request);
        let work = Work::Engine(Arc::clone(&request));
        let ids = work.ids();
        let mut answer = match &*request {
            HsmRequest::Destroy { at } | HsmRequest::Clear { at } => self.destroy(at.cka_id, errand).await?,
            HsmRequest::Find { at } => self.find(at, errand).await?,
            HsmRequest::CertifierKey => self.own(CERTIFIER, Work::Certifier, errand).await?,
            HsmRequest::CertifierSign { .. } => {
                self.found(CERTIFIER, &Work::Certifier, errand).await?;
                self.use_any(|| Work::Engine(Arc::clone(&request)), &ids, errand).await?
            }
            _ if work.mutates() => self.make(&request, &ids, errand).await?,
            _ => self.use_any(|| Work::Engine(Arc::clone(&request)), &ids, errand).await?,
        };
        match &mut answer {
            HsmAnswer::Made { reference, .. } => reference.token = self.id.clone(),
            HsmAnswer::MadePair { private, public, .. } => {
                private.token = self.id.clone();
                public.token = self.id.clone();
            }
            _ => {}
        }
        Ok(answer)
    }

    /// The members that serve and owe none of these, the best one first.
    fn candidates(&self, ids: &[CkaId]) -> Vec<&Arc<Member>> {
        let start = self.next.fetch_add(1, Ordering::Relaxed);
        let count = self.members.len().max(1);
        let in_turn = (0..count).filter_map(|step| self.members.get((start + step) % count));
        let mut candidates: Vec<_> =
            in_turn.filter(|member| member.serves() && !ids.iter().any(|id| member.owes(*id))).collect();
        candidates.sort_by_key(|member| (member.is_doubtful(), member.token.queued()));
        candidates
    }

    /// As [`Self::candidates`], waiting a moment where nobody serves just now.
    async fn awaited(&self, ids: &[CkaId], errand: Errand) -> Vec<&Arc<Member>> {
        let until = errand.within(NOBODY).until;
        loop {
            let candidates = self.candidates(ids);
            if !candidates.is_empty() || Instant::now() >= until {
                return candidates;
            }
            sleep(Duration::from_millis(20)).await;
        }
    }

    /// Uses what is there: whichever token can.
    pub(in crate::hsm) async fn use_any(
        &self,
        work: impl Fn() -> Work,
        ids: &[CkaId],
        errand: Errand,
    ) -> Result<HsmAnswer, HsmError> {
        let candidates = self.awaited(ids, errand).await;
        let mut first_error = None;
        let (mut lacking, mut undecided): (Vec<&Arc<Member>>, Vec<&Arc<Member>>) = Default::default();
        let mut left = candidates.len();
        for member in candidates {
            left -= 1;
            let patience = if left > 0 { errand.within(PATIENCE) } else { errand };
            let error = match member.ask(work(), patience, &[]).await {
                Ok(answer) => {
                    for member in undecided {
                        tracing::error!(token = %member.token.id, "another token of the group decided otherwise");
                        member.doubt();
                    }
                    for member in lacking.iter().filter(|_| !ids.is_empty()) {
                        tracing::error!(token = %member.token.id, "an object of the group is missing on the token");
                        member.owe(ids.to_vec()).await?;
                        member.wake();
                    }
                    return Ok(answer);
                }
                Err(error) => error,
            };
            match verdict(&error) {
                Verdict::Final => return Err(error),
                Verdict::Elsewhere => {}
                Verdict::Failing => member.doubt(),
                Verdict::Missing => lacking.push(member),
                Verdict::Undecided => undecided.push(member),
            }
            first_error = first_error.or(Some(error));
        }
        Err(first_error.unwrap_or_else(|| refused(HsmErrorKind::Unavailable, "no token of the group serves")))
    }

    /// Makes objects on one token and copies them to the others.
    async fn make(&self, request: &Arc<HsmRequest>, ids: &[CkaId], errand: Errand) -> Result<HsmAnswer, HsmError> {
        // What may still stand there under the name, or may still be destroyed there, comes first.
        let candidates = self.awaited(ids, errand).await;
        let slow = matches!(**request, HsmRequest::GenerateKeyPair { .. });
        let mut first_error = None;
        let mut left = candidates.len();
        for member in candidates {
            left -= 1;
            let patience = if left > 0 && !slow { errand.within(PATIENCE) } else { errand };
            match member.ask(Work::Engine(Arc::clone(request)), patience, ids).await {
                Ok(answer) => match self.spread(member, ids, errand).await? {
                    Spread::Done => return Ok(answer),
                    // What was made is on a token that fails: it is made anew where it is safe.
                    Spread::SourceFailed(error) => {
                        self.mistrust(member, ids).await?;
                        member.doubt();
                        first_error = first_error.or(Some(error));
                    }
                },
                Err(error) => match verdict(&error) {
                    // What it has made itself a moment ago cannot be missing or damaged on a token that works: it was logged out,
                    // or computes wrongly.
                    Verdict::Failing | Verdict::Missing | Verdict::Undecided => {
                        // It may have made them all the same, and may still do it.
                        self.mistrust(member, ids).await?;
                        member.doubt();
                        first_error = first_error.or(Some(error));
                    }
                    Verdict::Elsewhere => first_error = first_error.or(Some(error)),
                    Verdict::Final => return Err(error),
                },
            }
        }
        Err(first_error.unwrap_or_else(|| refused(HsmErrorKind::Unavailable, "no token of the group serves")))
    }

    /// A token owes these from now on, but for those that no other token is left to give: then what stands on it counts.
    async fn mistrust(&self, member: &Arc<Member>, ids: &[CkaId]) -> Result<(), HsmError> {
        let mut others = self.members.iter().filter(|other| !Arc::ptr_eq(other, member));
        if others.any(|other| !ids.iter().any(|id| other.owes(*id))) {
            member.owe(ids.to_vec()).await?;
        }
        Ok(())
    }

    /// Copies what one token has to all others; those that cannot take it now owe it. Undone when too few have it.
    async fn spread(&self, source: &Arc<Member>, ids: &[CkaId], errand: Errand) -> Result<Spread, HsmError> {
        let others: Vec<_> = self.members.iter().filter(|member| !Arc::ptr_eq(member, source)).collect();
        let serving = |member: &Arc<Member>| member.serves() && !ids.iter().any(|id| member.owes(*id));
        let mut parcels = Vec::with_capacity(ids.len());
        let mut stays = None;
        if others.iter().any(|member| serving(member)) {
            for id in ids {
                let tray = Arc::default();
                let errand = errand.within(PATIENCE);
                match source.ask(Work::CopyOut(*id, groups_own(), Arc::clone(&tray)), errand, &[]).await {
                    Ok(_) => parcels.push((*id, Arc::new(std::mem::take(&mut *tray.lock())))),
                    Err(error) if matches!(verdict(&error), Verdict::Failing | Verdict::Missing) => {
                        return Ok(Spread::SourceFailed(error));
                    }
                    Err(error) => {
                        stays = Some(error);
                        break;
                    }
                }
            }
        }
        if let Some(error) = &stays {
            tracing::warn!(token = %source.token.id, %error, "a new object cannot be copied to the other tokens now");
        }
        let (mut copies, mut full) = (1, None);
        for member in others {
            let mut missed = stays.is_some() || !serving(member);
            for (id, copied) in parcels.iter().filter(|_| !missed) {
                let errand = errand.within(PATIENCE);
                if let Err(error) =
                    member.ask(Work::CopyIn(*id, GROUP_KEY.into(), Arc::clone(copied)), errand, &[*id]).await
                {
                    tracing::warn!(token = %member.token.id, %error, "a copy could not be made; the token owes it");
                    match verdict(&error) {
                        Verdict::Failing => member.doubt(),
                        Verdict::Undecided => match self.blame(source, member, copied, errand).await {
                            Blame::Taker => {}
                            Blame::Giver => {
                                self.take_back(member, ids, errand).await?;
                                return Ok(Spread::SourceFailed(error));
                            }
                        },
                        Verdict::Final | Verdict::Elsewhere | Verdict::Missing => {}
                    }
                    if error.kind == HsmErrorKind::Full {
                        full = Some(error);
                    }
                    missed = true;
                    break;
                }
            }
            if missed {
                member.owe(ids.to_vec()).await?;
                member.wake();
            } else {
                copies += 1;
            }
        }
        if copies >= self.min && full.is_none() {
            return Ok(Spread::Done);
        }
        for id in ids {
            if let Err(error) = self.destroy(*id, errand.longer(PATIENCE)).await {
                tracing::warn!(%error, "objects of which too few copies were made stay for the next start to settle");
            }
        }
        Err(full.or(stays).unwrap_or_else(|| refused(HsmErrorKind::Unavailable, "too few tokens of the group serve")))
    }

    /// Who is to blame for copies that a token does not open: RFC 5649 shows to whoever has the key whether they are whole. Whoever
    /// it is, is doubted.
    pub(super) async fn blame(
        &self,
        giver: &Arc<Member>,
        taker: &Arc<Member>,
        copies: &Arc<Vec<Copied>>,
        errand: Errand,
    ) -> Blame {
        let work = Work::Opens(GROUP_KEY.into(), Arc::clone(copies));
        let blame = match giver.ask(work, errand, &[]).await {
            Ok(_) => Blame::Taker,
            Err(_) => Blame::Giver,
        };
        let doubted = if blame == Blame::Giver { giver } else { taker };
        tracing::error!(token = %doubted.token.id, "the token wraps or opens the copies of a group wrongly");
        doubted.doubt();
        blame
    }

    /// Takes back what a token was given of an object that will be made anew.
    async fn take_back(&self, member: &Arc<Member>, ids: &[CkaId], errand: Errand) -> Result<(), HsmError> {
        for id in ids {
            let at = Placement { token: self.id.clone(), cka_id: *id };
            let work = Work::Engine(Arc::new(HsmRequest::Destroy { at }));
            if let Err(error) = member.ask(work, errand, &[*id]).await {
                tracing::warn!(token = %member.token.id, %error, "part of an object stays on the token, which owes it");
                return member.owe(ids.to_vec()).await;
            }
        }
        Ok(())
    }

    /// Destroys on every token; those that cannot do it now owe it.
    async fn destroy(&self, id: CkaId, errand: Errand) -> Result<HsmAnswer, HsmError> {
        if self.awaited(&[], errand).await.is_empty() {
            return Err(refused(HsmErrorKind::Unavailable, "no token of the group serves"));
        }
        let mut first_error = None;
        let (mut done, mut missed) = (0, Vec::new());
        for member in &self.members {
            let at = Placement { token: self.id.clone(), cka_id: id };
            let work = Work::Engine(Arc::new(HsmRequest::Destroy { at }));
            let errand = errand.within(PATIENCE);
            let answer = if member.serves() {
                member.ask(work, errand, &[id]).await
            } else {
                Err(refused(HsmErrorKind::Unavailable, "a token that does not serve"))
            };
            match answer {
                Ok(_) => {
                    done += 1;
                    // Somebody may be copying it there just now.
                    if member.owes(id) {
                        missed.push(member);
                    }
                }
                Err(error) => {
                    if member.serves() && matches!(verdict(&error), Verdict::Failing) {
                        member.doubt();
                    }
                    missed.push(member);
                    first_error = first_error.or(Some(error));
                }
            }
        }
        // Where nobody has destroyed it, it is there as before, and nobody owes anything.
        if let Some(error) = first_error.filter(|_| done == 0) {
            return Err(error);
        }
        // Where nobody is left whom the others could be made equal to, that it is gone has to be remembered before anybody owes it.
        let owes = |member: &Arc<Member>| missed.iter().any(|other| Arc::ptr_eq(other, member)) || member.owes(id);
        if !missed.is_empty() && self.members.iter().all(owes) {
            self.remember(&self.gone(id), vec![1]).await?;
        }
        for member in &missed {
            member.owe(vec![id]).await?;
            member.wake();
        }
        Ok(HsmAnswer::Done)
    }

    /// Whether all members owe a name.
    pub(super) fn nobody_gives(&self, id: CkaId) -> bool {
        self.members.iter().all(|member| member.owes(id))
    }

    /// The fact that what all members owe was destroyed.
    pub(super) fn gone(&self, id: CkaId) -> String {
        format!("group/{}/gone/{}", self.id, to_hex(&id.0))
    }

    /// What stands anywhere in the group.
    async fn find(&self, at: &Placement, errand: Errand) -> Result<HsmAnswer, HsmError> {
        let mut last = refused(HsmErrorKind::Unavailable, "no token of the group serves");
        let mut empty = None;
        for member in self.awaited(&[], errand).await {
            let work = Work::Engine(Arc::new(HsmRequest::Find { at: at.clone() }));
            let errand = errand.within(PATIENCE);
            match member.ask(work, errand, &[]).await {
                Ok(HsmAnswer::Found(found)) if found.is_empty() => empty = Some(found),
                Ok(found) => return Ok(found),
                Err(error) => last = error,
            }
        }
        empty.map(|found: Found| HsmAnswer::Found(found)).ok_or(last)
    }

    /// One of the gateway's own keys, or what is computed with it.
    pub(in crate::hsm) async fn own(
        &self,
        purpose: &'static str,
        work: impl Fn(Making) -> Work,
        errand: Errand,
    ) -> Result<HsmAnswer, HsmError> {
        self.found(purpose, &work, errand).await?;
        self.use_any(|| work(Making::Never), &[system_name(purpose).id], errand).await
    }

    /// The notes of a name on every token that serves.
    pub(in crate::hsm) async fn notes(&self, name: &str, errand: Errand) -> Result<Vec<Vec<u8>>, HsmError> {
        let mut found = Vec::new();
        let tray: Tray<Vec<u8>> = Arc::default();
        self.of_each(errand, || Work::Notes(name.to_owned(), Arc::clone(&tray)), || found.append(&mut tray.lock()))
            .await?;
        Ok(found)
    }

    /// Writes a note on every token that serves.
    pub(in crate::hsm) async fn note(&self, name: &str, text: &[u8], errand: Errand) -> Result<(), HsmError> {
        self.of_each(errand, || Work::Note(name.to_owned(), text.to_vec()), || {}).await
    }

    /// Has each token that serves do something; one of them must.
    async fn of_each(&self, errand: Errand, work: impl Fn() -> Work, mut done: impl FnMut()) -> Result<(), HsmError> {
        let mut outcome = Err(refused(HsmErrorKind::Unavailable, "no token of the group serves"));
        for member in self.awaited(&[], errand).await {
            match member.ask(work(), errand, &[]).await {
                Ok(_) => {
                    done();
                    outcome = Ok(());
                }
                Err(error) => {
                    tracing::warn!(token = %member.token.id, %error, "a note of the gateway's own");
                    outcome = outcome.or(Err(error));
                }
            }
        }
        outcome
    }

    /// Sees to it that one of the gateway's own keys was made once and for all tokens.
    async fn found(
        &self,
        purpose: &'static str,
        work: &impl Fn(Making) -> Work,
        errand: Errand,
    ) -> Result<(), HsmError> {
        if self.founded.lock().contains(purpose) {
            return Ok(());
        }
        let _alone = self.founding.lock().await;
        let fact = format!("group/{}/own/{purpose}", self.id.0);
        if self.recall(&fact).await?.is_none() {
            let id = system_name(purpose).id;
            let candidates = self.awaited(&[id], errand).await;
            let mut home = candidates.first().copied();
            // Where a crash cut this short, or a token served alone before, the key stands somewhere already.
            for member in candidates {
                let at = Placement { token: self.id.clone(), cka_id: id };
                let answer = member.ask(Work::Engine(Arc::new(HsmRequest::Find { at })), errand, &[]).await?;
                if !matches!(answer, HsmAnswer::Found(found) if found.is_empty()) {
                    home = Some(member);
                    break;
                }
            }
            let home = home.ok_or_else(|| refused(HsmErrorKind::Unavailable, "no token of the group serves"))?;
            home.ask(work(Making::ForGroup), errand, &[id]).await?;
            if let Spread::SourceFailed(error) = self.spread(home, &[id], errand).await? {
                return Err(error);
            }
            self.remember(&fact, vec![1]).await?;
        }
        self.founded.lock().insert(purpose);
        Ok(())
    }

    /// The tokens that serve now.
    pub(in crate::hsm) fn serving(&self) -> Vec<Arc<Shared>> {
        self.members.iter().filter(|member| member.serves()).map(|member| Arc::clone(&member.token)).collect()
    }

    /// Uses what is there, naming what is used.
    pub(in crate::hsm) async fn use_it(
        &self,
        request: &Arc<HsmRequest>,
        errand: Errand,
    ) -> Result<HsmAnswer, HsmError> {
        let work = || Work::Engine(Arc::clone(request));
        let ids = work().ids();
        self.use_any(work, &ids, errand).await
    }

    /// Puts copies that come from outside of the group on every token.
    pub(in crate::hsm) async fn take_in(
        &self,
        id: CkaId,
        kek: &Kek,
        copies: &Arc<Vec<Copied>>,
        errand: Errand,
    ) -> Result<(), HsmError> {
        let mut first_error = None;
        for member in self.awaited(&[id], errand).await {
            match member.ask(Work::CopyIn(id, Arc::clone(kek), Arc::clone(copies)), errand, &[id]).await {
                Ok(_) => match self.spread(member, &[id], errand).await? {
                    Spread::Done => return Ok(()),
                    Spread::SourceFailed(error) => {
                        self.mistrust(member, &[id]).await?;
                        member.doubt();
                        first_error = first_error.or(Some(error));
                    }
                },
                Err(error) => match verdict(&error) {
                    Verdict::Failing => {
                        self.mistrust(member, &[id]).await?;
                        member.doubt();
                        first_error = first_error.or(Some(error));
                    }
                    Verdict::Elsewhere => first_error = first_error.or(Some(error)),
                    Verdict::Final | Verdict::Missing | Verdict::Undecided => return Err(error),
                },
            }
        }
        Err(first_error.unwrap_or_else(|| refused(HsmErrorKind::Unavailable, "no token of the group serves")))
    }

    pub(super) async fn recall(&self, name: &str) -> Result<Option<Vec<u8>>, HsmError> {
        let (memory, name) = (Arc::clone(&self.memory), name.to_owned());
        kept(tokio::task::spawn_blocking(move || memory.recall(&name)).await)
    }

    pub(super) async fn remember(&self, name: &str, fact: Vec<u8>) -> Result<(), HsmError> {
        let (memory, name) = (Arc::clone(&self.memory), name.to_owned());
        kept(tokio::task::spawn_blocking(move || memory.remember(&name, &fact)).await)
    }
}

/// How the tokens of a group copy among themselves.
pub(super) fn groups_own() -> Manner {
    Manner { kek: GROUP_KEY.into(), open: Open::Least }
}

/// What a client keeps from leaving must still be copied between the tokens: the record says that it may not leave, and the
/// engine goes by the record.
fn let_copies_leave(request: &mut HsmRequest) {
    match request {
        HsmRequest::GenerateKey { extractable, .. }
        | HsmRequest::GenerateKeyPair { extractable, .. }
        | HsmRequest::ImportKey { extractable, .. }
        | HsmRequest::MakeTwin { extractable, .. } => *extractable = true,
        _ => {}
    }
}
