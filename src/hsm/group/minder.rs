//! What goes on behind a replicated group: tokens let in, made equal, and watched by a canary.
//!
//! A token that is reached, again or for the first time, serves only when it has the group's key, everything it owed was
//! repaid, and its canary sings: a MAC, a cipher text and a wrapped key whose digests were remembered when the group was founded.
//! A token that joins, or whose serial has changed, is compared with the others by inventory first. What stands on it beyond
//! that is left alone.

use std::{
    collections::HashSet,
    sync::{Arc, atomic::Ordering},
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use tokio::time::sleep;

use super::{
    ledger::Stamp,
    member::{Member, Standing},
    mirror::{Mirror, groups_own},
};
use crate::{
    crypto::hash,
    domain::reference::CkaId,
    engine::ports::{HsmAnswer, HsmError, HsmErrorKind, HsmRequest, Lane, Placement},
    hsm::{
        canary::Song,
        copy::deliver,
        error::refused,
        pool::Errand,
        system::{CANARY, CIPHER_CANARY, GROUP_KEY, system_name},
        work::{GroupKey, Making, Tray, Work},
    },
};

/// How often a canary is asked.
const CANARY_EVERY: Duration = Duration::from_secs(1);
/// How long it may take before the token is given up.
const CANARY_LIMIT: Duration = Duration::from_millis(1_500);
/// How often a token that does not serve is looked at.
const LOOK: Duration = Duration::from_millis(50);
/// Pause after a token could not be let in.
const AGAIN: Duration = Duration::from_millis(500);
/// How long the first key of a group waits for tokens that are not there yet.
const FOUNDING: Duration = Duration::from_secs(10);
/// For one step of letting it in.
const STEP: Duration = Duration::from_secs(60);

fn a_step() -> Errand {
    Errand::of_gateway(STEP)
}

/// Let in even where the queue is full: a token must not be fenced because it is busy.
fn canary() -> Errand {
    Errand { lane: Lane::Probe, ..Errand::of_gateway(CANARY_LIMIT) }
}
/// Identifiers repaid before the ledger is written.
const BATCH: usize = 64;

/// Starts what minds a group; it ends soon after [`Mirror::stop`].
pub(in crate::hsm) fn start(mirror: &Arc<Mirror>) -> std::io::Result<JoinHandle<()>> {
    let mirror = Arc::clone(mirror);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build()?;
    thread::Builder::new().name(format!("group-{}", mirror.id)).spawn(move || {
        runtime.block_on(async {
            let minders = mirror.members.iter().map(|member| {
                let (mirror, member) = (Arc::clone(&mirror), Arc::clone(member));
                tokio::spawn(async move { mirror.mind(&member).await })
            });
            for minder in minders.collect::<Vec<_>>() {
                if let Err(error) = minder.await {
                    tracing::error!(%error, "a token of a group is not minded any more");
                }
            }
        });
        // A write of the ledger that hangs must not keep the process.
        runtime.shutdown_background();
    })
}

impl Mirror {
    async fn mind(&self, member: &Arc<Member>) {
        // Drained is drained, whatever happens to the process.
        match self.recall(&self.drained(&member.token.id)).await {
            Ok(Some(fact)) if !fact.is_empty() => member.stand(Standing::Drained),
            Ok(_) => {}
            Err(error) => tracing::error!(token = %member.token.id, %error, "whether it is drained is not known"),
        }
        while !self.stopping.load(Ordering::Acquire) {
            let pause = self.tend(member).await;
            member.rest(pause).await;
        }
    }

    /// One look at a token; how long to wait for the next.
    async fn tend(&self, member: &Arc<Member>) -> Duration {
        let link = member.token.link.load().as_ref().map(|link| (link.generation, link.info.serial.clone()));
        let Some((generation, serial)) = link else {
            if matches!(member.standing(), Standing::In(_)) {
                member.stand(Standing::Out("it is away".to_owned()));
            }
            return LOOK;
        };
        match member.standing() {
            Standing::Drained => AGAIN,
            Standing::Fenced(_, at) if at == generation => AGAIN,
            Standing::In(since) if since == generation => {
                self.listen(member, generation).await;
                if let Err(error) = self.repay(member).await {
                    tracing::warn!(token = %member.token.id, %error, "what the token owes is not repaid yet");
                }
                CANARY_EVERY
            }
            _ => match self.admit(member, generation, &serial).await {
                Ok(()) => CANARY_EVERY,
                Err(error) => {
                    tracing::info!(token = %member.token.id, %error, "the token is not let in yet");
                    if !matches!(member.standing(), Standing::Fenced(..) | Standing::Drained) {
                        member.stand(Standing::Out(format!("{}: {error}", error.function)));
                    }
                    AGAIN
                }
            },
        }
    }

    /// Lets a token that was reached serve.
    async fn admit(&self, member: &Arc<Member>, generation: u64, serial: &[u8]) -> Result<(), HsmError> {
        self.bring_key(member).await?;
        self.join(member, serial).await?;
        self.repay(member).await?;
        self.found_canary(member).await?;
        self.found_song(member).await?;
        if !self.sings(member, generation).await? {
            return Err(refused(HsmErrorKind::Internal, "canary"));
        }
        // Whoever saw it not serving has entered what it missed: the last of it is repaid while it serves.
        member.trust();
        member.stand(Standing::In(generation));
        self.repay(member).await
    }

    /// Compares a token that is new in the group with one that is not. Where none has joined yet, this is the first.
    async fn join(&self, member: &Arc<Member>, serial: &[u8]) -> Result<(), HsmError> {
        let fact = |member: &Member| format!("group/{}/joined/{}", self.id.0, member.token.id.0);
        let known = self.recall(&fact(member)).await?;
        if known.as_deref() == Some(serial) {
            return Ok(());
        }
        let _alone = self.founding.lock().await;
        let mut joined = false;
        for other in self.members.iter().filter(|other| !Arc::ptr_eq(other, member)) {
            joined |= self.recall(&fact(other)).await?.is_some();
        }
        if joined {
            let none = || refused(HsmErrorKind::Unavailable, "no other token of the group serves to compare with");
            let source = self.other(member, &[]).ok_or_else(none)?;
            self.compare(member, source).await?;
            // What a token brings that served alone before belongs to the group, too; what one brings that was replaced may
            // have been destroyed long ago.
            if known.is_none() {
                self.compare(source, member).await?;
                source.wake();
            }
        }
        self.remember(&fact(member), serial.to_vec()).await
    }

    /// A member that serves and owes none of these.
    pub(super) fn other(&self, member: &Arc<Member>, ids: &[CkaId]) -> Option<&Arc<Member>> {
        let can = |other: &&Arc<Member>| {
            !Arc::ptr_eq(other, member) && other.serves() && !ids.iter().any(|id| other.owes(*id))
        };
        self.members.iter().filter(can).min_by_key(|other| other.is_doubtful())
    }

    /// The group's key: it is there, or comes from another token, or is made once for all time.
    async fn bring_key(&self, member: &Arc<Member>) -> Result<(), HsmError> {
        let find = |member: Arc<Member>| async move {
            member.ask(Work::GroupKey(GROUP_KEY.into(), GroupKey::Find), a_step(), &[]).await
        };
        let fact = format!("group/{}/key", self.id.0);
        match find(Arc::clone(member)).await {
            Ok(_) => {
                // A security officer may have made it.
                return match self.recall(&fact).await? {
                    Some(_) => Ok(()),
                    None => self.remember(&fact, vec![1]).await,
                };
            }
            Err(error) if error.kind == HsmErrorKind::ObjectMissing => {}
            Err(error) => return Err(error),
        }
        // Where none was made yet, another token may bring one that a security officer has made, if it is waited for.
        let until = self.began + FOUNDING;
        let is_away = |other: &Arc<Member>| !Arc::ptr_eq(other, member) && other.token.link.load().is_none();
        while Instant::now() < until
            && !self.stopping.load(Ordering::Acquire)
            && self.members.iter().any(is_away)
            && self.recall(&fact).await?.is_none()
        {
            sleep(LOOK).await;
        }
        let _alone = self.founding.lock().await;
        let mut source = None;
        for other in self.members.iter().filter(|other| !Arc::ptr_eq(other, member)) {
            if other.token.link.load().is_none() {
                continue;
            }
            match find(Arc::clone(other)).await {
                Ok(_) => {
                    source = Some(other);
                    break;
                }
                Err(error) if error.kind == HsmErrorKind::ObjectMissing => {}
                // It may have one all the same.
                Err(error) if self.recall(&fact).await?.is_none() => return Err(error),
                Err(_) => {}
            }
        }
        let step = |member: &Arc<Member>, step| {
            let member = Arc::clone(member);
            async move { member.ask(Work::GroupKey(GROUP_KEY.into(), step), a_step(), &[]).await }
        };
        match source {
            Some(source) => deliver(|give| step(source, give), |take| step(member, take)).await?,
            None if self.recall(&fact).await?.is_some() => {
                return Err(refused(
                    HsmErrorKind::Unavailable,
                    "the group's key is on none of the tokens that are there",
                ));
            }
            None => {
                step(member, GroupKey::Make).await?;
            }
        }
        self.remember(&fact, vec![1]).await
    }

    /// Enters what another token has and this one has not. Nothing that this one has beyond that is touched.
    pub(super) async fn compare(&self, member: &Arc<Member>, source: &Arc<Member>) -> Result<usize, HsmError> {
        let (own, theirs) = (self.inventory(member).await?, self.inventory(source).await?);
        let own: HashSet<CkaId> = own.into_iter().collect();
        let missing: Vec<CkaId> = theirs.into_iter().filter(|id| !own.contains(id) && !source.owes(*id)).collect();
        let count = missing.len();
        if count > 0 {
            tracing::info!(token = %member.token.id, from = %source.token.id, count, "objects are to be copied to the token");
            member.owe(missing).await?;
        }
        Ok(count)
    }

    async fn inventory(&self, member: &Arc<Member>) -> Result<Vec<CkaId>, HsmError> {
        let tray: Tray<(CkaId, bool)> = Arc::default();
        member.ask(Work::Inventory(Arc::clone(&tray)), Errand::of_gateway(STEP.saturating_mul(10)), &[]).await?;
        let holdings = std::mem::take(&mut *tray.lock());
        Ok(holdings.into_iter().map(|(id, _)| id).collect())
    }

    /// Makes the token equal to the others under everything it owes. What cannot be copied stays owed: other tokens serve it.
    pub(super) async fn repay(&self, member: &Arc<Member>) -> Result<(), HsmError> {
        // What nobody can give now is repaid later: it keeps nobody from serving the rest.
        let mut later = HashSet::new();
        while !self.stopping.load(Ordering::Acquire) {
            let debts = member.debts(BATCH, &later);
            if debts.is_empty() {
                break;
            }
            let mut repaid = Vec::with_capacity(debts.len());
            let mut trouble = None;
            for (id, stamp) in debts {
                let done = match self.other(member, &[id]) {
                    Some(source) => self.repay_one(member, source, id).await.map(|()| true),
                    None => self.decide(member, id, stamp).await.map(|_decided| false),
                };
                match done {
                    Ok(true) => repaid.push((id, stamp)),
                    Ok(false) => {
                        later.insert(id);
                    }
                    Err(error) => match error.kind {
                        HsmErrorKind::NotExtractable | HsmErrorKind::Unsupported => {
                            tracing::warn!(token = %member.token.id, %error, "an object cannot be copied to the token; others serve it");
                            member.pass_over(id);
                        }
                        // Somebody may give it who wraps rightly; and it keeps nobody from having the rest.
                        HsmErrorKind::DecryptionFailed => {
                            later.insert(id);
                        }
                        _ => {
                            trouble = Some(error);
                            break;
                        }
                    },
                }
            }
            member.settle(repaid).await?;
            if let Some(error) = trouble {
                return Err(error);
            }
        }
        Ok(())
    }

    /// What becomes of a name that all members owe, so that none can be made equal to another: what was destroyed is destroyed here,
    /// too, and otherwise the first who has it counts. If that makes this member right, it owes the name no more, and the others
    /// can follow it.
    async fn decide(&self, member: &Arc<Member>, id: CkaId, stamp: Stamp) -> Result<(), HsmError> {
        let _alone = self.deciding.lock().await;
        if !self.nobody_gives(id) || self.members.iter().any(|any| any.is_unsettled(id)) {
            return Ok(());
        }
        let at = || Placement { token: self.id.clone(), cka_id: id };
        if self.recall(&self.gone(id)).await?.is_some_and(|fact| !fact.is_empty()) {
            let work = Work::Engine(Arc::new(HsmRequest::Destroy { at: at() }));
            member.ask(work, a_step(), &[id]).await?;
            member.settle(vec![(id, stamp)]).await?;
            if !member.owes(id) {
                self.remember(&self.gone(id), Vec::new()).await?;
            }
            return Ok(());
        }
        if !self.members.iter().all(|any| any.serves() || Arc::ptr_eq(any, member)) {
            return Ok(());
        }
        let mut first = None;
        for any in &self.members {
            let work = Work::Engine(Arc::new(HsmRequest::Find { at: at() }));
            let found = any.ask(work, a_step(), &[]).await?;
            if !matches!(found, HsmAnswer::Found(found) if found.is_empty()) {
                first = Some(any);
                break;
            }
        }
        if first.is_none_or(|first| Arc::ptr_eq(first, member)) {
            member.settle(vec![(id, stamp)]).await?;
        }
        Ok(())
    }

    async fn repay_one(&self, member: &Arc<Member>, source: &Arc<Member>, id: CkaId) -> Result<(), HsmError> {
        let tray = Arc::default();
        source.ask(Work::CopyOut(id, groups_own(), Arc::clone(&tray)), a_step(), &[]).await?;
        let copies = Arc::new(std::mem::take(&mut *tray.lock()));
        let taken = member.ask(Work::CopyIn(id, GROUP_KEY.into(), Arc::clone(&copies)), a_step(), &[id]).await;
        if matches!(&taken, Err(error) if error.kind == HsmErrorKind::DecryptionFailed) {
            self.blame(source, member, &copies, a_step()).await;
        }
        taken.map(drop)
    }

    /// The canary's fact: the digest of its MAC.
    fn canary_fact(&self) -> String {
        format!("group/{}/canary", self.id.0)
    }

    /// Makes the canary once for all time, on the first token that is let in.
    async fn found_canary(&self, member: &Arc<Member>) -> Result<(), HsmError> {
        let fact = self.canary_fact();
        if self.recall(&fact).await?.is_some() {
            return Ok(());
        }
        let _alone = self.founding.lock().await;
        if self.recall(&fact).await?.is_some() {
            return Ok(());
        }
        let mac = member.ask(Work::SystemSecret(CANARY, Making::ForGroup), a_step(), &[]).await?;
        let digest = digest(mac)?;
        for other in self.members.iter().filter(|other| !Arc::ptr_eq(other, member)) {
            other.owe(vec![system_name(CANARY).id]).await?;
        }
        self.remember(&fact, digest.to_vec()).await
    }

    /// The fact beside it: the digests of a cipher text and of a wrapped key.
    fn song_fact(&self) -> String {
        format!("group/{}/song", self.id.0)
    }

    /// As [`Self::found_canary`], for what is encrypted and wrapped; for groups that were founded with the MAC alone, too. A
    /// token that does not make such a key lets the group go on without.
    async fn found_song(&self, member: &Arc<Member>) -> Result<(), HsmError> {
        let fact = self.song_fact();
        if self.recall(&fact).await?.is_some() {
            return Ok(());
        }
        let _alone = self.founding.lock().await;
        if self.recall(&fact).await?.is_some() {
            return Ok(());
        }
        let song = match member.ask(Work::Sing(Making::ForGroup, true), a_step(), &[]).await {
            Ok(answer) => song(answer)?,
            Err(error)
                if matches!(error.kind, HsmErrorKind::Full | HsmErrorKind::Unsupported | HsmErrorKind::Refused) =>
            {
                tracing::warn!(token = %member.token.id, %error, "whether it encrypts and wraps rightly is not watched yet");
                return Ok(());
            }
            Err(error) => return Err(error),
        };
        if !song.is_sound() {
            return Err(refused(HsmErrorKind::Internal, "a token that does not open what it has closed"));
        }
        for other in self.members.iter().filter(|other| !Arc::ptr_eq(other, member)) {
            other.owe(vec![system_name(CIPHER_CANARY).id]).await?;
        }
        self.remember(&fact, song.to_bytes()).await
    }

    /// Whether the canary sings as it did; fences the token if not.
    async fn sings(&self, member: &Arc<Member>, generation: u64) -> Result<bool, HsmError> {
        let errand = canary();
        let known = self.recall(&self.canary_fact()).await?;
        let answer = member.ask(Work::SystemSecret(CANARY, Making::Never), errand, &[]).await;
        let mut why = match answer.and_then(digest) {
            Ok(sung) if known.as_deref() == Some(sung.as_slice()) => None,
            Ok(_) => Some("its canary sang a wrong tune: the token computes wrongly, or belongs to another group"),
            Err(error) if error.kind == HsmErrorKind::ObjectMissing && !member.owes(system_name(CANARY).id) => {
                Some("its canary is gone: the token has lost objects")
            }
            Err(error) => return Err(error),
        };
        let known = self.recall(&self.song_fact()).await?.and_then(|bytes| Song::from_bytes(&bytes));
        if let (None, Some(known)) = (why, known) {
            let work = Work::Sing(Making::Never, member.is_asked_thoroughly());
            why = match member.ask(work, errand, &[]).await.and_then(song) {
                Ok(sung) if sung.agrees(&known) => None,
                Ok(_) => Some("it encrypts or wraps wrongly, or has another group's key"),
                // Its MAC was right, and what it owes comes when another token can give it.
                Err(error) if error.kind == HsmErrorKind::ObjectMissing => {
                    let owes = member.owes(system_name(CIPHER_CANARY).id);
                    (!owes).then_some("a canary or the group's key is gone: the token has lost objects")
                }
                Err(error) => return Err(error),
            };
        }
        let Some(why) = why else { return Ok(true) };
        member.stand(Standing::Fenced(why.to_owned(), generation));
        Ok(false)
    }

    /// Asks the canary of a token that serves.
    async fn listen(&self, member: &Arc<Member>, generation: u64) {
        let began = Instant::now();
        match self.sings(member, generation).await {
            Ok(true) => member.trust(),
            Ok(false) => {}
            Err(error) => {
                if !member.is_doubtful() {
                    let took = began.elapsed();
                    tracing::warn!(token = %member.token.id, %error, ?took, "the canary does not answer");
                }
                member.give_up();
            }
        }
    }
}

fn song(answer: HsmAnswer) -> Result<Song, HsmError> {
    match answer {
        HsmAnswer::Bytes(bytes) => Song::from_bytes(&bytes),
        _ => None,
    }
    .ok_or_else(|| refused(HsmErrorKind::Internal, "answer"))
}

fn digest(answer: HsmAnswer) -> Result<[u8; 32], HsmError> {
    match answer {
        #[expect(clippy::disallowed_methods, reason = "only its digest is kept")]
        HsmAnswer::Value(mac) => Ok(hash::sha256(mac.expose_secret())),
        _ => Err(refused(HsmErrorKind::Internal, "answer")),
    }
}
