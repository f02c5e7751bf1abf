//! How messages become bytes on a stream. In: the generated types. Out: tonic's own encoding with small buffers. It must not
//! change a byte of it.

use std::marker::PhantomData;

use prost::Message;
use tonic::codec::{BufferSettings, Codec};
use tonic_prost::ProstCodec;

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
    Decode: Message + Default + Send + 'static,
{
    type Encode = Encode;
    type Decode = Decode;
    type Encoder = <ProstCodec<Encode, Decode> as Codec>::Encoder;
    type Decoder = <ProstCodec<Encode, Decode> as Codec>::Decoder;

    fn encoder(&mut self) -> Self::Encoder {
        ProstCodec::<Encode, Decode>::raw_encoder(BufferSettings::new(BUFFER, TOGETHER))
    }

    fn decoder(&mut self) -> Self::Decoder {
        ProstCodec::<Encode, Decode>::raw_decoder(BufferSettings::new(BUFFER, TOGETHER))
    }
}
