//! Words that everybody uses, whatever the talk is about: who writes `month` has not slipped on `moth`. Data alone.

/// See the module. Sorted, with blanks between.
pub const COMMON: &str = "\
    able accident across age ago air almost alone along although always amount angry animal anywhere apart app \
    appear area arm aunt autumn baby bad bag ball bar bath beach bear beautiful bed beer behind believe best better \
    between big bird birth bit black blood blue boat body bone boot born bottle bottom bowl box boy brain bread \
    break breath bridge bright bring brother brown brush bus busy butter buy cake call calm cap capital care carry \
    case cat catch cause centre century chair chance cheap cheese chemistry chief choice circle city clean clever \
    cloth cloud coast coat cold common cool copper corner cotton cough count country couple courage cousin cream \
    crowd cup cut dad damp danger dark daughter dead deep dinner dirty doubt dozen dream dress drink dry during dust \
    ear early earth east easy edge eight either empty end enemy engine enough entire equal evening exact example eye \
    face fact fair faith fall famous far farm fast fat father fault fear feather feel fellow female few field fight \
    figure final fine finger fire fish flat flesh flight floor flour fly fold food foot force foreign forest formal \
    forum forward frame free fresh friend front fruit full fun funny future game garden gentle girl glad glass gold \
    grain grandpa grass grave great green ground guess guest hair half hall hammer hand handle happen happy hard hat \
    hate heart heat heaven heavy height hell high hill history hole holiday hollow honest honey hope horse hospital \
    hot hotel huge human humor hundred hurry husband ice idea important inch income inside interest iron island \
    jewel join joke journey joy juice kick kid kind king kiss knee knife knock lady lake lamb land language large \
    late laugh lay layout lead leaf lean least left leg less level lie life lift light lion lip little local loose \
    loss loud love low luck lunch mad male man map market matter meal mean meat medium metal middle milk mind mine \
    minute miss mistake mix modern moment month moon more morning most mother mountain mouse mouth mud music nail \
    name narrow nation near neck neighbour neither nephew nest never nice niece nine noise none north nose nothing \
    nurse ocean offer office often oil opposite orange ounce outside oven owner pain paint pair palace pale pan \
    paper parent park part party pass past path peace pen pencil people pepper perfect period phone piece pig pink \
    pipe plain plane plant plastic plate pleasant plenty pocket poem poor pot pound powder power pretty price pride \
    prison problem proud public pull purple purpose push quality quarter queen quick quiet quite race railway ready \
    real reason red regular rent rest rice rich ride ring rise river road rock roof room root rope rose rough round \
    row royal rule sad safe sail salt same sand sandwich school science sea season seat seed seem self sense \
    sentence serious several shade shadow shake shame shape share sharp sheep sheet shelf shine ship shirt shock \
    shoe shop shore short shot shoulder shout sick side silk silver similar simple sing sister size skin skirt sky \
    sleep slide slip slow smart smell smile smoke smooth snow soap society sock soft soil son sort soul sound soup \
    south space spade special spend spirit spoon spot spring square stage stair stand star start steam steel step \
    stick stiff stomach stone storm story strange straw stream street string strong sudden sugar suit summary summer \
    sun surname surprise sweet swim table tail tall tape taste tax tea teach team tear ten tent term test thick \
    thief thin thirsty thought thread throat thumb thunder ticket tie tight tin tired tongue tooth top total touch \
    toward town toy trade train tree trouble true trust truth twice uncle under unit usual valley value verb village \
    voice waist wall war warm waste water wave weak wealth wear weather week weight west wet wheel while whisper \
    whistle white wide wife wild wind wine wing winter wire wise woman wonder wood wool word work world worse worst \
    worth wound wrist wrong yard year yellow young zoo";
