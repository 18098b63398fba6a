//! The proof of a decision: a value that the next step must be given.

/// What was permitted, and nothing else. Built by the authorizer only.
#[derive(Debug)]
pub struct Permitted<T> {
    inner: T,
}

impl<T> Permitted<T> {
    pub(super) const fn new(inner: T) -> Self {
        Self { inner }
    }

    /// The same decision over what it stands for.
    pub fn map<U>(self, over: impl FnOnce(T) -> U) -> Permitted<U> {
        Permitted { inner: over(self.inner) }
    }

    /// What was permitted, by reference.
    pub const fn get(&self) -> &T {
        &self.inner
    }

    /// What was permitted.
    pub fn into_inner(self) -> T {
        self.inner
    }
}
