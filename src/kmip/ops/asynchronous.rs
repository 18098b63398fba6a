//! Poll, Cancel, Process, Query Asynchronous Requests: what becomes of operations that are answered later.

use kmip_codec::payload::{
    CancelRequest, CancelResponse, PollRequest, PollResponse, ProcessRequest, ProcessResponse,
    QueryAsynchronousRequestsRequest, QueryAsynchronousRequestsResponse,
};

use crate::kmip::{batch::Exchange, error::Refusal};

pub(in crate::kmip) async fn poll(on: &mut Exchange<'_>, request: PollRequest) -> Result<PollResponse, Refusal> {
    let value = request.asynchronous_correlation_value;
    let fits = |answer: &_| on.fits_answer(answer);
    let answer = on.service.pending.poll(on.principal(), &value, on.version, fits).await?;
    on.answer_with(answer);
    Ok(PollResponse::default())
}

pub(in crate::kmip) async fn cancel(on: &mut Exchange<'_>, request: CancelRequest) -> Result<CancelResponse, Refusal> {
    let value = request.asynchronous_correlation_value;
    let cancellation_result = on.service.pending.cancel(on.principal(), &value, on.now());
    Ok(CancelResponse { asynchronous_correlation_value: value, cancellation_result })
}

pub(in crate::kmip) async fn process(
    on: &mut Exchange<'_>,
    request: ProcessRequest,
) -> Result<ProcessResponse, Refusal> {
    on.service.pending.process(on.principal(), &request.asynchronous_correlation_value, on.version)?;
    Ok(ProcessResponse::default())
}

pub(in crate::kmip) async fn query_asynchronous_requests(
    on: &mut Exchange<'_>,
    request: QueryAsynchronousRequestsRequest,
) -> Result<QueryAsynchronousRequestsResponse, Refusal> {
    let values = request.asynchronous_correlation_values.unwrap_or_default().values;
    let operations = request.operations.unwrap_or_default().operations;
    let asynchronous_requests = on.service.pending.list(on.principal(), &values, &operations);
    Ok(QueryAsynchronousRequestsResponse { asynchronous_requests })
}
