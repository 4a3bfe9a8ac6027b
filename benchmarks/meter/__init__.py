"""What a run would cost on AWS, computed from what went over the wire.

`proxy` stands between the functions and the emulator and counts; `dynamodb` and `item_size` are AWS's rules for
capacity units, `sqs` those for requests; `bill` turns counts into dollars at the `prices`. What the emulator
itself says of consumed capacity is not used.
"""
