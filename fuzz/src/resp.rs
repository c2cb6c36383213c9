//! The two decoders. What they make of bytes must not depend on the pieces in which those arrive, nor on anything else.

use bulkhead::resp::{CommandArgs, DecodeLimits, Decoder, ProtocolError, Value, ValueError, encode_command};
use bytes::BytesMut;

use crate::input::Input;

/// Requests: any bytes, under any limits, split anywhere.
pub fn resp_decode(input: &[u8]) {
    let mut input = Input::new(input);
    let limits = limits(&mut input);
    let pieces = [usize::from(input.byte()) + 1, usize::from(input.byte()) + 1];
    let bytes = input.rest();
    let whole = decode(bytes, &[bytes.len().max(1)], &limits);
    assert_eq!(decode(bytes, &[1], &limits), whole, "byte by byte");
    assert_eq!(decode(bytes, &pieces, &limits), whole, "in pieces of {pieces:?}");
    for args in whole.0.iter().filter(|args| !args.is_empty()) {
        let mut encoded = BytesMut::new();
        encode_command(args, &mut encoded);
        let again = decode(&encoded, &[encoded.len()], &DecodeLimits::default());
        assert_eq!(again, (vec![args.clone()], None), "a command survives a round trip");
    }
}

/// Small limits, so that inputs of a sensible size exceed them.
fn limits(input: &mut Input<'_>) -> DecodeLimits {
    let mut limits = DecodeLimits::default();
    let choices = input.byte();
    if choices & 1 != 0 {
        (limits.max_inline_len, limits.max_bulk_len, limits.max_args, limits.max_frame_len) = (16, 40, 8, 128);
    }
    limits.authenticated = choices & 2 == 0;
    limits
}

type Commands = (Vec<Vec<Vec<u8>>>, Option<ProtocolError>);

/// Feeds bytes to a decoder in pieces of these sizes, by turns, as a connection does.
fn decode(bytes: &[u8], sizes: &[usize], limits: &DecodeLimits) -> Commands {
    let (mut decoder, mut buffer, mut commands) = (Decoder::default(), BytesMut::new(), Vec::new());
    let (mut rest, mut sizes) = (bytes, sizes.iter().cycle());
    while let Some(size) = sizes.next().filter(|_| !rest.is_empty()) {
        let (piece, after) = rest.split_at((*size).min(rest.len()));
        buffer.extend_from_slice(piece);
        rest = after;
        loop {
            match decoder.decode(&mut buffer, limits) {
                Ok(Some(args)) => commands.push(checked(&args)),
                Ok(None) => break,
                Err(error) => return (commands, Some(error)),
            }
        }
        let wanted = decoder.bytes_wanted(&buffer);
        assert!(wanted <= limits.max_frame_len, "it wants {wanted} bytes, more than a frame may have");
        assert_eq!(decoder.is_mid_command(), !buffer.is_empty());
    }
    (commands, None)
}

/// A command's arguments, which must lie within its frame and look the same by every way of asking.
fn checked(args: &CommandArgs) -> Vec<Vec<u8>> {
    assert!(!args.is_empty(), "an empty command was given out");
    let owned: Vec<Vec<u8>> = args.iter().map(<[u8]>::to_vec).collect();
    assert_eq!(args.len(), owned.len());
    assert!(owned.iter().map(Vec::len).sum::<usize>() <= args.frame_len(), "arguments overlap or leave the frame");
    for (index, arg) in owned.iter().enumerate() {
        assert_eq!((args.get(index), args.bytes(index).as_deref()), (Some(&arg[..]), Some(&arg[..])));
    }
    assert_eq!(args.get(owned.len()), None);
    owned
}

/// Replies: any bytes.
pub fn resp_value(input: &[u8]) {
    let whole = values(input, input.len().max(1));
    assert_eq!(values(input, 1), whole, "byte by byte");
    for value in &whole.0 {
        // As redis-cli shows it, however nested.
        drop(value.to_string());
    }
}

fn values(bytes: &[u8], size: usize) -> (Vec<Value>, Option<ValueError>) {
    let (mut buffer, mut values) = (BytesMut::new(), Vec::new());
    for piece in bytes.chunks(size) {
        buffer.extend_from_slice(piece);
        loop {
            match Value::decode(&mut buffer) {
                Ok(Some(value)) => values.push(value),
                Ok(None) => break,
                Err(error) => return (values, Some(error)),
            }
        }
    }
    (values, None)
}
