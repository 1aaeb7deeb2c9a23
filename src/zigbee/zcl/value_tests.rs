//! Values from recorded bytes, every type there and back, and bytes that are nothing.

use proptest::prelude::*;

use super::*;

fn decoded(bytes: &[u8]) -> Result<Typed, DecodeError> {
    let mut reader = Reader::new(bytes);
    let typed = Typed::decode(&mut reader)?;
    assert!(reader.is_empty(), "{} bytes are left", reader.remaining());
    Ok(typed)
}

#[test]
fn values_as_devices_send_them() {
    for (bytes, value) in [
        (&[0x10, 0x01][..], Value::Bool(true)),
        (&[0x10, 0xff], Value::Absent),
        (&[0x20, 0xfe], Value::Unsigned(254)),
        (&[0x29, 0x5d, 0xff], Value::Signed(-163)),
        (&[0x22, 0x01, 0x02, 0x03], Value::Unsigned(0x03_0201)),
        (&[0x25, 0x80, 0x4c, 0x0b, 0x00, 0x00, 0x00], Value::Unsigned(740_480)),
        (&[0x39, 0x00, 0x00, 0xa8, 0x41], Value::Float(21.0)),
        (&[0x39, 0x00, 0x00, 0xc0, 0x7f], Value::Absent),
        (&[0x38, 0x00, 0x3c], Value::Float(1.0)),
        (&[0x38, 0x01, 0x00], Value::Float(2f64.powi(-24))),
        (&[0x42, 0x03, b'L', b'C', b'T'], Value::Text("LCT".into())),
        (&[0x42, 0xff], Value::Absent),
        (&[0x42, 0x02, 0xff, 0x01], Value::Bytes([0xff, 0x01].into())),
        (&[0x48, 0x20, 0x02, 0x00, 0x05, 0x06], Value::List(DataType::U8, [5u8.into(), 6u8.into()].into())),
        (
            &[0x4c, 0x02, 0x00, 0x10, 0x00, 0x21, 0x95, 0x0b],
            Value::Struct([Typed::new(DataType::Bool, false), Typed::new(DataType::U16, 2965u16)].into()),
        ),
        (&[0xf0, 8, 7, 6, 5, 4, 3, 2, 1], Value::Ieee(Ieee(0x0102_0304_0506_0708))),
        (&[0xe0, 12, 30, 0xff, 0xff], Value::TimeOfDay([12, 30, 0xff, 0xff])),
    ] {
        let typed = decoded(bytes).expect("a value");
        assert_eq!(typed.value, value);
        let mut out = Vec::new();
        typed.encode(&mut out).expect("it came from bytes");
        assert_eq!(out, bytes);
    }
}

#[test]
fn what_is_no_value_is_said() {
    assert_eq!(decoded(&[0x29, 0x00, 0x80]).expect("a value").known(), None);
    assert_eq!(decoded(&[0x21, 0xff, 0xff]).expect("a value").known(), None);
    assert_eq!(decoded(&[0x19, 0xff, 0xff]).expect("a value").known(), Some(&Value::Unsigned(0xffff)));
    assert_eq!(decoded(&[0x32, 0x00]), Err(DecodeError::UnknownType(0x32)));
    assert_eq!(decoded(&[0x42, 0x05, b'a']), Err(DecodeError::Short));
    assert_eq!(decoded(&[0x48, 0x00, 0xfe, 0xff]), Err(DecodeError::UnknownType(0)));
    let nested = [0x4c, 1, 0].repeat(6);
    assert_eq!(Typed::decode(&mut Reader::new(&nested)), Err(DecodeError::TooDeep));
}

#[test]
fn what_does_not_fit_is_refused() {
    let encoded = |data_type: DataType, value: Value| value.encode(data_type, &mut Vec::new());
    assert_eq!(encoded(DataType::U8, 256u16.into()), Err(EncodeError::Unfit(DataType::U8)));
    assert_eq!(encoded(DataType::I8, 128u8.into()), Err(EncodeError::Unfit(DataType::I8)));
    assert_eq!(encoded(DataType::I8, (-128i8).into()), Ok(()));
    assert_eq!(encoded(DataType::U16, "x".into()), Err(EncodeError::Unfit(DataType::U16)));
    assert_eq!(
        encoded(DataType::CharString, "x".repeat(255).as_str().into()),
        Err(EncodeError::Unfit(DataType::CharString))
    );
    assert_eq!(encoded(DataType::Bitmap8, Value::Absent), Err(EncodeError::Unfit(DataType::Bitmap8)));
}

#[test]
fn every_half_is_read_and_written() {
    for half in 0..=u16::MAX {
        let value = f64_of_half(half);
        if !value.is_nan() {
            assert_eq!(half_of_f64(value), half, "{value}");
        }
    }
    assert_eq!(half_of_f64(65_519.9), 0x7bff);
    assert_eq!(half_of_f64(1e9), 0x7c00);
    assert_eq!(half_of_f64(1.9999), 0x4000);
}

/// A value of a type, as decoding gives it.
pub fn any_value(data_type: DataType) -> BoxedStrategy<Value> {
    match data_type.shape() {
        Shape::Nothing => Just(Value::Absent).boxed(),
        Shape::Bool => prop_oneof![any::<bool>().prop_map(Value::Bool), Just(Value::Absent)].boxed(),
        Shape::Unsigned(width) => {
            any::<u64>().prop_map(move |value| Value::Unsigned(value >> (64 - 8 * width))).boxed()
        }
        Shape::Signed(width) => any::<i64>().prop_map(move |value| Value::Signed(value >> (64 - 8 * width))).boxed(),
        Shape::Float(2) => any::<u16>().prop_map(|half| float(f64_of_half(half))).boxed(),
        Shape::Float(4) => any::<u32>().prop_map(|bits| float(f64::from(f32::from_bits(bits)))).boxed(),
        Shape::Float(_) => any::<u64>().prop_map(|bits| float(f64::from_bits(bits))).boxed(),
        Shape::Bytes(_) => {
            let bytes = proptest::collection::vec(any::<u8>(), 0..40);
            prop_oneof![9 => bytes.prop_map(|bytes| Value::Bytes(bytes.into())), 1 => Just(Value::Absent)].boxed()
        }
        Shape::Text(_) => {
            prop_oneof![9 => ".{0,20}".prop_map(|text| Value::Text(text.into())), 1 => Just(Value::Absent)].boxed()
        }
        Shape::List => simple_type()
            .prop_flat_map(|element| {
                let values = proptest::collection::vec(any_value(element), 0..5);
                values.prop_map(move |values| Value::List(element, values.into()))
            })
            .boxed(),
        Shape::Struct => {
            let typed = simple_type()
                .prop_flat_map(|data_type| any_value(data_type).prop_map(move |value| Typed { data_type, value }));
            proptest::collection::vec(typed, 0..5).prop_map(|values| Value::Struct(values.into())).boxed()
        }
        Shape::TimeOfDay => any::<[u8; 4]>().prop_map(Value::TimeOfDay).boxed(),
        Shape::Date => any::<[u8; 4]>().prop_map(Value::Date).boxed(),
        Shape::Ieee => any::<u64>().prop_map(|value| Value::Ieee(Ieee(value))).boxed(),
        Shape::Key => any::<[u8; 16]>().prop_map(|key| Value::Key(Key(key))).boxed(),
    }
}

/// One that holds no others and has bytes.
fn simple_type() -> impl Strategy<Value = DataType> {
    let types = DataType::ALL
        .into_iter()
        .filter(|data_type| !matches!(data_type.shape(), Shape::Nothing | Shape::List | Shape::Struct));
    proptest::sample::select(types.collect::<Vec<_>>())
}

pub fn any_typed() -> impl Strategy<Value = Typed> {
    proptest::sample::select(DataType::ALL.to_vec())
        .prop_flat_map(|data_type| any_value(data_type).prop_map(move |value| Typed { data_type, value }))
}

proptest! {
    #[test]
    fn a_value_is_read_as_it_was_written(typed in any_typed()) {
        let mut out = Vec::new();
        typed.encode(&mut out).expect("a value of its type");
        prop_assert_eq!(decoded(&out), Ok(typed));
    }

    #[test]
    fn any_bytes_are_a_value_or_an_error(bytes in proptest::collection::vec(any::<u8>(), 0..80)) {
        let mut reader = Reader::new(&bytes);
        while let Ok(typed) = Typed::decode(&mut reader) {
            // An array that says it is none leaves out what it would hold.
            let mut out = Vec::new();
            typed.encode(&mut out).expect("it came from bytes");
            if reader.is_empty() {
                break;
            }
        }
    }
}
