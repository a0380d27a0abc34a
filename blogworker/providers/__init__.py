"""The three remotes, one thin typed client each.

    openai      text       OpenAIClient.generate
    replicate   pictures   ReplicateClient.create, wait, download
    wix         sites      WixClient.import_media, create_draft, publish ...

Every call goes through `transport`, which applies one policy: where credentials go, which addresses are allowed, how
large and how slow an answer may be.

A client makes one call and says what came of it: an answer, or a ProviderError whose class tells the caller what to do.
It retries nothing by itself (a refused Wix token is the one exception) and stores nothing. It knows no quota; before
the small calls of which one act makes many it waits for the turn that the `pace` it was given names.
"""
