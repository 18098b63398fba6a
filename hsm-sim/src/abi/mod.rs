pub(crate) use page::{ForkMark, SharedPage, WORDS as PAGE_WORDS};
mod page;
