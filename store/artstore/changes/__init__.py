"""Operations that change the catalogue, one in each module."""
