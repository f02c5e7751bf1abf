//! How messages become bytes on a stream, and bytes messages. In: the generated types. Out: tonic's own encoding with small
//! buffers; what a hub hears is weighed before it is decoded. It must not change a byte of it.

use std::marker::PhantomData;

use prost::Message;
use prost::bytes::Buf as _;
use tonic::Status;
use tonic::codec::{BufferSettings, Codec, DecodeBuf, Decoder};
use tonic_prost::ProstCodec;

use crate::limit;
use crate::weight::Word;

/// Every stream of a hub keeps two buffers for as long as it is open, and most messages are heartbeats: tonic's 8 KiB for each
/// would be 160 MiB at ten thousand agents. A bigger message gets a bigger buffer.
const BUFFER: usize = 512;
/// As tonic's own: so much may wait to be written together.
const TOGETHER: usize = 32 * 1024;

/// The codec of every service here.
#[derive(Debug, Clone, Copy)]
pub struct SmallCodec<Encode, Decode>(PhantomData<(Encode, Decode)>);

impl<Encode, Decode> Default for SmallCodec<Encode, Decode> {
    fn default() -> Self {
        Self(PhantomData)
    }
}

impl<Encode, Decode> Codec for SmallCodec<Encode, Decode>
where
    Encode: Message + Send + 'static,
    Decode: Message + Default + Word + Send + 'static,
{
    type Encode = Encode;
    type Decode = Decode;
    type Encoder = <ProstCodec<Encode, Decode> as Codec>::Encoder;
    type Decoder = Weighing<<ProstCodec<Encode, Decode> as Codec>::Decoder>;

    fn encoder(&mut self) -> Self::Encoder {
        ProstCodec::<Encode, Decode>::raw_encoder(BufferSettings::new(BUFFER, TOGETHER))
    }

    fn decoder(&mut self) -> Self::Decoder {
        Weighing(ProstCodec::<Encode, Decode>::raw_decoder(
            BufferSettings::new(BUFFER, TOGETHER),
        ))
    }
}

/// Refuses what would take too much memory, before it does.
#[derive(Debug)]
pub struct Weighing<Inner>(Inner);

impl<Inner> Decoder for Weighing<Inner>
where
    Inner: Decoder<Error = Status>,
    Inner::Item: Message + Default + Word,
{
    type Item = Inner::Item;
    type Error = Status;

    fn decode(&mut self, buffer: &mut DecodeBuf<'_>) -> Result<Option<Self::Item>, Status> {
        let length = buffer.remaining();
        if !Inner::Item::HUB_HEARS || limit::is_light::<Inner::Item>(length) {
            return self.0.decode(buffer);
        }
        let bytes = buffer.copy_to_bytes(length);
        if let Some(much) = limit::too_heavy::<Inner::Item>(&bytes) {
            return Err(Status::resource_exhausted(much));
        }
        // As tonic's own.
        let item = Inner::Item::decode(bytes);
        item.map(Some)
            .map_err(|error| Status::internal(error.to_string()))
    }

    fn buffer_settings(&self) -> BufferSettings {
        self.0.buffer_settings()
    }
}
